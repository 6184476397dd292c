import type { GpuEngine } from './gpu-engine.ts';

const requestsAtOnce = 96;
const sharedTokens = 600;

/**
 * Chat-like requests for some minutes: prompts that share beginnings, one in ten aborted on its way, more of them than
 * the KV cache holds, so that some are preempted. Prints a line a minute. Throws if a block is lost or the process
 * grows.
 */
export function mixedLoad(engine: GpuEngine, minutes: number): void {
  let requests = 0;
  let aborted = 0;
  let tokens = 0;
  let firstBytes: number | undefined;
  for (let minute = 1; minute <= minutes; minute++) {
    const endMs = performance.now() + 60_000;
    while (performance.now() < endMs) {
      const running: number[] = [];
      for (let i = 0; i < requestsAtOnce; i++, requests++) {
        const shared = engine.tokens(requests % 5, sharedTokens);
        const own = engine.tokens(requests, 20 + ((requests * 37) % 400));
        running.push(engine.add(Int32Array.of(...shared, ...own), 30 + ((requests * 53) % 300)));
      }
      for (let step = 0; engine.core.hasWork; step++) {
        tokens += engine.core.step().length;
        if (step % 10 === 0 && running.length > requestsAtOnce * 0.9)
          aborted += engine.core.abort(running.splice((step * 7) % running.length, 1)[0]!) ? 1 : 0;
      }
      engine.core.checkIntegrity();
    }
    const bytes = process.memoryUsage().rss;
    firstBytes ??= bytes;
    const { preemptions, kvCacheUsage } = engine.core.gauges;
    console.log(
      `minute ${minute}: ${requests} requests, ${aborted} aborted, ${tokens} tokens, ${preemptions} preemptions, ` +
        `${(bytes / 2 ** 20).toFixed(0)} MiB of main memory`,
    );
    if (kvCacheUsage !== 0) throw new Error(`KV blocks are in use though nothing runs: ${kvCacheUsage}`);
    if (bytes > firstBytes * 1.2) throw new Error(`main memory grew from ${firstBytes} to ${bytes} bytes`);
  }
}
