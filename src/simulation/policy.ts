import type { ProfileOptions } from '../scheduling/profile.ts';
import type { EngineModel } from './engine-model.ts';
import type { LateBindingOptions } from './late-binding.ts';
import type { Random } from './random.ts';
import type { RunningRequest } from './running-request.ts';

/** What a policy may know when it is set up for a run. */
export interface PolicyEnvironment {
  readonly model: EngineModel;
  readonly pods: number;
  readonly random: Random;
}

/** One way to route: a profile of the product, and what it needs besides. */
export interface PolicyInstance {
  readonly profile: ProfileOptions;
  /** What the router believes to be cached: its own decisions, or the engines' KV events. */
  readonly residency: 'approximate' | 'events';
  /** Holds requests until an endpoint has room; the profile then sees the one endpoint that was chosen. */
  readonly lateBinding?: LateBindingOptions;
  /** Requests wait in the product's flow control until their endpoint has room. */
  readonly hasFlowControl?: boolean;
  /** Told of each decision, for plugins that count their own picks. */
  readonly picked?: (request: RunningRequest, endpoint: string) => void;
  /** Told of each completion, for plugins that learn lengths. */
  readonly completed?: (request: RunningRequest) => void;
}

export interface Policy {
  /** As `--policy` and the table name it. */
  readonly name: string;
  readonly description: string;
  readonly create: (environment: PolicyEnvironment) => PolicyInstance;
}
