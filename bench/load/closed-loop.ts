import type { LoadPlan, LoadResults } from './open-loop.ts';
import type { StreamResult } from './stream-client.ts';

export interface ClosedLoopOptions extends LoadPlan {
  readonly clients: number;
}

/** So many clients at once, each sending its next request when the last one is answered. */
export async function runClosedLoop(options: ClosedLoopOptions): Promise<LoadResults> {
  const { durationMs, nextPrompt, send, clients } = options;
  const startMs = performance.now();
  const results: StreamResult[] = [];
  const runClient = async () => {
    while (performance.now() - startMs < durationMs)
      results.push(await send(nextPrompt(), performance.now()));
  };
  await Promise.all(Array.from({ length: clients }, runClient));
  return { results, elapsedMs: performance.now() - startMs };
}
