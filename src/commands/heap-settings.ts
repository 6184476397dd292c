import { setFlagsFromString } from 'node:v8';

/**
 * For processes that decide, to be called before they begin. While they start, the young generation is small and
 * nearly all objects of a decision outlive a collection, so V8 takes them for long-lived and from then on makes them
 * in the old generation, where they die after milliseconds and keep others alive until a full collection.
 */
export function prepareHeap(): void {
  setFlagsFromString('--no-allocation-site-pretenuring');
}
