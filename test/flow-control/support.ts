import {
  type AdmissionRequest,
  defaultLimits,
  FlowControl,
  type FlowControlLimits,
  type Offer,
  type Round,
} from '../../src/flow-control/index.ts';

/** Places of one kind: a round is how many are free, no request prefers any. */
class FreePlaces implements Round {
  readonly readyEndpoints: number;
  readonly ownEndpoints: number;
  readonly #pool: { free: number; ready: number };
  readonly #hadRoom: boolean;

  constructor(pool: { free: number; ready: number }) {
    this.#pool = pool;
    this.readyEndpoints = pool.ready;
    this.ownEndpoints = pool.ready;
    this.#hadRoom = pool.free > 0;
  }

  hasRoom(): boolean {
    return this.#pool.free > 0;
  }

  hasGainedSince(earlier: FreePlaces): boolean {
    return this.#hadRoom && !earlier.#hadRoom;
  }
}

export interface Job {
  readonly name?: string;
  readonly priority?: number;
  readonly tenant?: string;
  readonly bytes?: number;
  readonly ttftSloMs?: number | undefined;
  readonly tokens?: number;
  readonly signal?: AbortSignal;
  /** Throws instead of deciding, once it waits. */
  readonly breaks?: boolean;
}

/** A flow control over `free` places, under a clock turned by hand. */
export function createDesk(free: number, limits: Partial<FlowControlLimits> = {}) {
  const clock = { nowMs: 0 };
  const pool = { free, ready: 1 };
  const timers = new Set<{ readonly atMs: number; readonly callback: () => void }>();
  const served: Job[] = [];
  const flow = new FlowControl<FreePlaces>({
    limits: () => ({ ...defaultLimits, ...limits }),
    beginRound: () => new FreePlaces(pool),
    clock: () => clock.nowMs,
    schedule: (delayMs, callback) => {
      const timer = { atMs: clock.nowMs + delayMs, callback };
      timers.add(timer);
      return () => timers.delete(timer);
    },
  });

  function admit(job: Job): Promise<Job> {
    const { tokens = 100 } = job;
    const found = { ownMs: tokens, tokens, neededTokens: tokens };
    let looks = 0;
    const request: AdmissionRequest<Job, FreePlaces> = {
      priority: job.priority ?? 0,
      tenant: job.tenant ?? '',
      bytes: job.bytes ?? 1,
      ttftSloMs: job.ttftSloMs,
      signal: job.signal ?? new AbortController().signal,
      decide: (): Offer<Job> => {
        if (looks++ > 0 && job.breaks === true) throw new Error('broken');
        if (pool.free === 0) return { kind: 'no-room', ...found };
        pool.free--;
        served.push(job);
        return { kind: 'placed', value: job, ...found };
      },
    };
    return flow.admit(request);
  }

  function release(places = 1): void {
    pool.free += places;
    flow.roomChanged();
  }

  function advance(ms: number): void {
    clock.nowMs += ms;
    for (const timer of [...timers]) {
      if (timer.atMs > clock.nowMs || !timers.delete(timer)) continue;
      timer.callback();
    }
  }

  return { flow, clock, pool, timers, served, admit, release, advance };
}

/** How a promise ended, without waiting for one that has not. */
export async function outcomeOf(promise: Promise<unknown>): Promise<string> {
  const pending = Promise.resolve().then(async () => {
    for (let i = 0; i < 8; i++) await Promise.resolve();
    return 'waiting';
  });
  return Promise.race([
    promise.then(
      () => 'served',
      (error: { code?: string; message: string }) => error.code ?? error.message,
    ),
    pending,
  ]);
}
