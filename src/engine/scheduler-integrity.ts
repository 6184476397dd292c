import type { BlockManager } from './block-manager.ts';
import type { RequestGroups } from './request-groups.ts';
import type { Sequence } from './sequence.ts';

/** What a scheduler owns. */
export interface SchedulerState {
  readonly groups: RequestGroups;
  readonly waiting: number;
  readonly running: readonly Sequence[];
  /** Free ones. */
  readonly seats: readonly number[];
  readonly maxNumSeqs: number;
  readonly blocks: BlockManager;
}

/** Throws unless queues, statuses, seats and block tables agree. */
export function checkScheduler({
  groups,
  waiting,
  running,
  seats,
  maxNumSeqs,
  blocks,
}: SchedulerState): void {
  blocks.checkIntegrity();
  const counts = { deferred: 0, waiting: 0, running: 0, finished: 0 };
  for (const group of groups) {
    if (group.sequences.every(({ status }) => status === 'finished'))
      throw new Error(`scheduler: request ${group.id} is over, but kept`);
    for (const sequence of group.sequences) {
      counts[sequence.status]++;
      if (sequence.status !== 'running' && sequence.table.length > 0)
        throw new Error(`scheduler: a ${sequence.status} sequence holds blocks`);
      if (sequence.computed > sequence.table.length * blocks.blockSize)
        throw new Error('scheduler: a sequence has more computed tokens than blocks');
    }
  }
  const actual = { deferred: groups.deferred, waiting, running: running.length };
  for (const status of ['deferred', 'waiting', 'running'] as const)
    if (counts[status] !== actual[status])
      throw new Error(`scheduler: ${counts[status]} ${status} sequences, ${actual[status]} in their queue`);
  const taken = new Set(running.map(({ seat }) => seat));
  if (taken.size !== running.length || seats.some((seat) => taken.has(seat)))
    throw new Error('scheduler: two sequences have one seat, or a seat is taken and free');
  if (taken.size + seats.length !== maxNumSeqs) throw new Error('scheduler: a seat is lost');
  if (groups.size === 0 && blocks.freeBlocks !== blocks.blocks)
    throw new Error('scheduler: no request lives, but blocks are held');
}
