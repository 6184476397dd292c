import { ServiceError } from '../protocol/errors.ts';
import type { BlockLife } from './block-lives.ts';
import type { EngineCommand, EngineInfo, EngineMessage } from './engine-messages.ts';
import type { EngineTransport } from './engine-transport.ts';
import { Generation } from './generation.ts';
import type { KvEvent } from './kv-events/kv-event.ts';
import type { EngineRequest } from './sequence.ts';
import type { EngineGauges, PooledOutput, StepOutput } from './step-output.ts';
import { unpackOutputs } from './step-packing.ts';
import type { Vocabulary } from './structured-output/index.ts';

export interface EngineClientOptions {
  readonly transport: EngineTransport;
  /** Told the part of the weights that is loaded, 0 to 1, until the engine is open. */
  readonly onLoading?: (part: number) => void;
  /** The engine ended without having been asked to. */
  readonly onCrash?: (error: Error) => void;
}

/** Looks on: metrics count steps, a publisher sends KV events. */
export interface EngineObserver {
  onStep?(gauges: EngineGauges): void;
  onKvEvents?(events: readonly KvEvent[]): void;
  onBlockLives?(lives: readonly BlockLife[]): void;
}

/** See `EngineClient.sleepLevel`. */
export type SleepLevel = 0 | 1 | 2;

type CallResult = Pick<Extract<EngineMessage, { type: 'call_result' }>, 'isDone' | 'error'>;

/** A command that is answered, without the id that the answer bears. */
type EngineCall =
  Extract<EngineCommand, { callId: number }> extends infer Command
    ? Command extends unknown
      ? Omit<Command, 'callId'>
      : never
    : never;

interface LiveRequest {
  readonly onOutput: (output: StepOutput) => void;
  readonly onPooled: (output: PooledOutput) => void;
  /** It is over; with an error, before its time. */
  readonly end: (error?: Error) => void;
  /** Choices that have not ended. */
  readonly open: Set<number>;
}

const noGauges: EngineGauges = {
  running: 0,
  waiting: 0,
  kvCacheUsage: 0,
  cachedBlocks: 0,
  preemptions: 0,
  prefixQueries: 0,
  prefixHits: 0,
  drafts: { drafts: 0, draftTokens: 0, acceptedTokens: 0, acceptedAt: [] },
  adapters: { running: [], waiting: [] },
  stepTokens: 0,
};

/** The engine as the server sees it: asynchronous, and able to die. Owns the requests that are under way. */
export class EngineClient {
  readonly info: EngineInfo;
  readonly #transport: EngineTransport;
  readonly #live = new Map<number, LiveRequest>();
  readonly #pendingCalls = new Map<number, (result: CallResult) => void>();
  readonly #observers: EngineObserver[] = [];
  #gauges = noGauges;
  #requests = 0;
  /** `add` commands. */
  #sent = 0;
  #accepted = 0;
  #calls = 0;
  #knowsVocabulary = false;
  #sleepLevel: SleepLevel = 0;
  #failure: Error | undefined;

  /** Resolves when the engine has opened its model; rejects with its reason if it cannot. */
  static open(options: EngineClientOptions): Promise<EngineClient> {
    return new Promise((resolve, reject) => {
      let client: EngineClient | undefined;
      options.transport.start({
        onMessage: (message) => {
          if (message.type === 'loading') options.onLoading?.(message.part);
          else if (message.type === 'failed') reject(new Error(message.message));
          else if (message.type === 'ready') {
            client = new EngineClient(options.transport, message.info);
            resolve(client);
          } else if (client !== undefined) client.#receive(message);
        },
        onCrash: (error) => {
          if (client === undefined) reject(error);
          else if (client.#fail(error)) options.onCrash?.(error);
        },
      });
    });
  }

  private constructor(transport: EngineTransport, info: EngineInfo) {
    this.#transport = transport;
    this.info = info;
  }

  get isAlive(): boolean {
    return this.#failure === undefined;
  }

  /** As of the latest step; requests that the engine has not taken in yet count as waiting. */
  get gauges(): EngineGauges {
    return { ...this.#gauges, waiting: this.#gauges.waiting + this.#sent - this.#accepted };
  }

  /** Requests under way. */
  get liveRequests(): number {
    return this.#live.size;
  }

  observe(observer: EngineObserver): void {
    this.#observers.push(observer);
  }

  /** Tells the engine, once, what tokens stand for; before the first request with a constraint. */
  useVocabulary(read: () => Vocabulary): void {
    if (this.#knowsVocabulary) return;
    this.#knowsVocabulary = true;
    this.#transport.send({ type: 'vocabulary', vocabulary: read() });
  }

  /** More tokens that end a text; before the first request. */
  endTextAt(tokenIds: readonly number[]): void {
    if (tokenIds.length > 0) this.#transport.send({ type: 'end_of_text', tokenIds });
  }

  /** Starts a request. Read its outputs to the end, or abort it. */
  generate(request: Omit<EngineRequest, 'id'>): Generation {
    const generation = new Generation(this.#nextId());
    this.#begin(generation.requestId, request, {
      onOutput: (output) => generation.push(output),
      onPooled: () => undefined,
      end: (error) => generation.end(error),
    });
    return generation;
  }

  /** A state of a prompt. Rejects when the signal fires, or with what went wrong. */
  pool(
    request: Omit<EngineRequest, 'id' | 'choices'> & Required<Pick<EngineRequest, 'pooling'>>,
    signal: AbortSignal,
  ): Promise<PooledOutput> {
    const requestId = this.#nextId();
    return new Promise((resolve, reject) => {
      const abort = () => this.abort(requestId);
      signal.addEventListener('abort', abort, { once: true });
      this.#begin(
        requestId,
        { ...request, choices: 1 },
        {
          onOutput: () => undefined,
          onPooled: resolve,
          end: (error) => {
            signal.removeEventListener('abort', abort);
            reject(error ?? new Error('the request was aborted'));
          },
        },
      );
      if (signal.aborted) abort();
    });
  }

  #nextId(): number {
    return this.#requests++ % 0x7fffffff;
  }

  #begin(requestId: number, request: Omit<EngineRequest, 'id'>, live: Omit<LiveRequest, 'open'>): void {
    if (this.#failure !== undefined || this.#sleepLevel > 0) {
      live.end(this.#failure === undefined ? asleep() : engineGone(this.#failure));
      return;
    }
    const open = new Set(Array.from({ length: request.choices }, (_, choice) => choice));
    this.#live.set(requestId, { ...live, open });
    this.#sent++;
    this.#transport.send({ type: 'add', request: { ...request, id: requestId } });
  }

  /** Ends one choice, or the whole request; a whole request's outputs end with it. */
  abort(requestId: number, choice?: number): void {
    const live = this.#live.get(requestId);
    if (live === undefined) return;
    this.#transport.send({ type: 'abort', requestId, choice });
    if (choice === undefined) live.open.clear();
    else live.open.delete(choice);
    this.#endIfDone(requestId, live);
  }

  /** False if sequences run: what they hold cannot be forgotten. */
  resetPrefixCache(): Promise<boolean> {
    return this.#call({ type: 'reset_prefix_cache' });
  }

  /** Rejects with the engine's reason: what is wrong with the folder, or that there is no room. */
  async loadAdapter(name: string, path: string, isReplacement: boolean): Promise<void> {
    await this.#call({ type: 'load_adapter', name, path, isReplacement });
  }

  /** False if there is no such adapter. */
  unloadAdapter(name: string): Promise<boolean> {
    return this.#call({ type: 'unload_adapter', name });
  }

  /** 0 is awake; 1 and 2 are vLLM's levels, which are one here: weights and KV cache are given back. */
  get sleepLevel(): SleepLevel {
    return this.#sleepLevel;
  }

  /** Ends what is under way, refuses what comes, and gives memory back until `wake`. */
  async sleep(level: 1 | 2): Promise<void> {
    this.#sleepLevel = level;
    for (const [requestId, { end }] of [...this.#live]) {
      end(asleep());
      this.abort(requestId);
    }
    await this.#call({ type: 'sleep' });
  }

  /** Resolves when the weights are there again. Rejects with the reason if they are not, and sleeps on. */
  async wake(): Promise<void> {
    if (this.#sleepLevel === 0) return;
    await this.#call({ type: 'wake' });
    this.#sleepLevel = 0;
  }

  /** Ends what is under way and closes the engine. */
  async close(): Promise<void> {
    for (const requestId of [...this.#live.keys()]) this.abort(requestId);
    if (this.#failure === undefined) await this.#transport.close();
  }

  #receive(message: EngineMessage): void {
    if (message.type === 'step') {
      this.#gauges = message.gauges;
      this.#accepted = message.accepted;
      for (const output of unpackOutputs(message.outputs)) {
        const live = this.#live.get(output.requestId);
        if (live === undefined || !live.open.has(output.choice)) continue;
        live.onOutput(output);
        if (output.finish === undefined) continue;
        live.open.delete(output.choice);
        this.#endIfDone(output.requestId, live);
      }
      for (const output of message.pooled) {
        const live = this.#live.get(output.requestId);
        live?.onPooled(output);
        live?.open.clear();
        if (live !== undefined) this.#endIfDone(output.requestId, live);
      }
      for (const observer of this.#observers) {
        observer.onStep?.(message.gauges);
        if (message.kvEvents.length > 0) observer.onKvEvents?.(message.kvEvents);
        if (message.blockLives.length > 0) observer.onBlockLives?.(message.blockLives);
      }
    } else if (message.type === 'rejected') {
      const live = this.#live.get(message.requestId);
      live?.end(new ServiceError('invalid_request', message.message));
      this.#live.delete(message.requestId);
    } else if (message.type === 'call_result') {
      this.#pendingCalls.get(message.callId)?.(message);
      this.#pendingCalls.delete(message.callId);
    }
  }

  /** True if it was done, false if it was refused. Rejects with the engine's reason if it failed. */
  #call(call: EngineCall): Promise<boolean> {
    const callId = this.#calls++;
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) return reject(engineGone(this.#failure));
      this.#pendingCalls.set(callId, ({ isDone, error }) => {
        if (error === undefined) resolve(isDone);
        else reject(new ServiceError('internal', error));
      });
      this.#transport.send({ ...call, callId });
    });
  }

  #endIfDone(requestId: number, live: LiveRequest): void {
    if (live.open.size > 0) return;
    this.#live.delete(requestId);
    live.end();
  }

  /** True the first time. */
  #fail(error: Error): boolean {
    if (this.#failure !== undefined) return false;
    this.#failure = error;
    for (const { end } of this.#live.values()) end(engineGone(error));
    this.#live.clear();
    for (const settle of this.#pendingCalls.values())
      settle({ isDone: false, error: engineGone(error).message });
    this.#pendingCalls.clear();
    return true;
  }
}

function engineGone(cause: Error): ServiceError {
  return new ServiceError('internal', 'The engine has stopped; restart it. Its log says why.', { cause });
}

function asleep(): ServiceError {
  return new ServiceError(
    'asleep',
    'This engine sleeps; wake it with POST /wake_up, or send the request elsewhere.',
  );
}
