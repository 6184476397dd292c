import { setFlagsFromString } from 'node:v8';

/*
 * Beside this, processes that decide are started with `--max-semi-space-size=32` (MiB) wherever they are started: first
 * lines of main.ts, `npm start`, Dockerfile, workers. V8 reads it before any of our code runs. With 16, its own choice, a
 * busy picker collects its young generation twice as often; with 64 more of it leaves the processor's caches.
 */

/**
 * For processes that decide, to be called before they begin.
 *
 * While they start, the young generation is small and nearly all objects of a decision outlive a collection, so V8 takes
 * them for long-lived and from then on makes them in the old generation, where they die after milliseconds and keep
 * others alive until a full collection.
 *
 * A request goes through some hundred small functions, and V8 stops joining them to their callers at a third of the size
 * allowed here.
 */
export function prepareV8(): void {
  setFlagsFromString('--no-allocation-site-pretenuring');
  setFlagsFromString('--max-inlined-bytecode-size=1200');
  setFlagsFromString('--max-inlined-bytecode-size-cumulative=2500');
}
