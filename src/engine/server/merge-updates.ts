/** Runs several async iterations at once and yields from whichever has something, with its index. */
export async function* mergeIndexed<T>(
  sources: readonly AsyncIterable<T>[],
): AsyncGenerator<readonly [index: number, value: T]> {
  if (sources.length === 1) {
    for await (const value of sources[0]!) yield [0, value];
    return;
  }
  const iterators = sources.map((source) => source[Symbol.asyncIterator]());
  const next = (index: number) => iterators[index]!.next().then((result) => ({ index, result }));
  const pending = new Map(iterators.map((_, index) => [index, next(index)]));
  try {
    while (pending.size > 0) {
      const { index, result } = await Promise.race(pending.values());
      if (result.done === true) {
        pending.delete(index);
        continue;
      }
      // The source goes on only after its value has been taken: readers set the pace.
      yield [index, result.value];
      pending.set(index, next(index));
    }
  } finally {
    // Those still waiting are ended by their own signal; nobody awaits them any more.
    for (const waiting of pending.values()) waiting.catch(() => undefined);
    for (const iterator of iterators) void iterator.return?.()?.catch(() => undefined);
  }
}
