import type { EngineModel } from './engine-model.ts';
import type { ResidencyChange } from './event-prefix-index.ts';
import type { ScrapedGauges } from './gauge-scraper.ts';
import type { Random } from './random.ts';
import type { RunningRequest } from './running-request.ts';

export interface Split {
  readonly prefillEngine: number;
  readonly decodeEngine: number;
  readonly transferMs: number;
}

/** What a router may see and do in a simulation. */
export interface RouterEnvironment {
  readonly models: readonly EngineModel[];
  readonly random: Random;
  readonly nowMs: () => number;
  /** The gauges of an engine as of its last scrape; undefined when it did not answer. */
  readonly scrape: (engine: number) => ScrapedGauges | undefined;
  /** When the next scrape will be, after now. */
  readonly nextScrapeMs: () => number;
  /** Accepts connections now. */
  readonly isUp: (engine: number) => boolean;
  /** Sends a request to an engine; false when the engine refuses the connection. */
  readonly dispatch: (request: RunningRequest, engine: number) => boolean;
  /**
   * Has one engine compute the prompt and send it to another, where the request then runs. One transfer at a time
   * reaches an engine. Both must be up.
   */
  readonly dispatchSplit: (request: RunningRequest, split: Split) => void;
  /** Turns a request away. */
  readonly reject: (request: RunningRequest) => void;
  /** Calls the router's `onTimer` then. */
  readonly wakeAt: (timeMs: number) => void;
}

/** Takes requests and dispatches each, at once or later. One instance is one replica with its own state. */
export interface Router {
  arrive(request: RunningRequest): void;
  /** Of a split request: its prompt is computed and on its way. */
  prefilled?(request: RunningRequest): void;
  firstToken(request: RunningRequest): void;
  /** The request has left its engine: completed, or lost with it. */
  ended(request: RunningRequest): void;
  /** Blocks that an engine stored and removed during one step; only for routers that listen to KV events. */
  readonly residencyChanged?: ((engine: number, changes: readonly ResidencyChange[]) => void) | undefined;
  /** The engine has begun to accept connections. */
  engineStarted?(engine: number): void;
  onTimer?(): void;
  /** Decisions made so far. */
  readonly decisions: number;
}

export type RouterFactory = (environment: RouterEnvironment) => Router;
