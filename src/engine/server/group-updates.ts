import type { ChoiceDelta, GenerationUpdate } from './run-generation.ts';

/**
 * Holds a choice's deltas back until they have `interval` tokens; its first and its last never wait. Fewer, larger
 * events cost less on both sides.
 */
export async function* groupUpdates(
  updates: AsyncIterable<GenerationUpdate>,
  interval: number,
): AsyncGenerator<GenerationUpdate> {
  const held = new Map<number, ChoiceDelta>();
  const begun = new Set<number>();
  for await (const update of updates) {
    const ready: ChoiceDelta[] = [];
    for (const delta of update.deltas) {
      const { choice } = delta;
      const before = held.get(choice);
      const joined = before === undefined ? delta : join(before, delta);
      const isFirst = !begun.has(choice);
      if (isFirst || joined.finish !== undefined || joined.outputs.length >= interval) {
        begun.add(choice);
        held.delete(choice);
        ready.push(joined);
      } else {
        held.set(choice, joined);
      }
    }
    if (ready.length > 0) yield { ...update, deltas: ready };
  }
}

function join(before: ChoiceDelta, after: ChoiceDelta): ChoiceDelta {
  return { ...after, text: before.text + after.text, outputs: [...before.outputs, ...after.outputs] };
}
