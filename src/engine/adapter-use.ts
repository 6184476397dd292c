import type { Sequence } from './sequence.ts';
import type { AdapterUse } from './step-output.ts';

/** Names of the adapters of sequences that run, and of those that wait. */
export function adapterUse(sequences: Iterable<Sequence>): AdapterUse {
  const running = new Set<string>();
  const waiting = new Set<string>();
  for (const { adapterName, status } of sequences)
    if (adapterName !== undefined && status !== 'finished')
      (status === 'running' ? running : waiting).add(adapterName);
  return { running: [...running], waiting: [...waiting] };
}

/** Whether a step of these sequences and one more would have more adapters than may run together. */
export function exceedsAdapters(
  running: readonly Sequence[],
  { adapterSlot: added }: Sequence,
  maxLoras: number | undefined,
): boolean {
  if (maxLoras === undefined || added < 0) return false;
  const slots = new Set([added]);
  for (const { adapterSlot } of running) if (adapterSlot >= 0) slots.add(adapterSlot);
  return slots.size > maxLoras;
}
