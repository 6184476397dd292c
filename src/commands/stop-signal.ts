/** npm passes a Ctrl-C on that the terminal has also sent here: the two are one wish. */
const sameWishMs = 500;

/** Waits for SIGINT or SIGTERM. A second one ends the process at once, without waiting for anything. */
export function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let firstMs: number | undefined;
    const onSignal = (signal: NodeJS.Signals) => {
      const nowMs = performance.now();
      if (firstMs === undefined) {
        firstMs = nowMs;
        resolve(signal);
      } else if (nowMs - firstMs > sameWishMs) {
        // 128 + the signal's number, as shells report it.
        process.exit(signal === 'SIGINT' ? 130 : 143);
      }
    };
    process.on('SIGINT', onSignal);
    process.on('SIGTERM', onSignal);
  });
}
