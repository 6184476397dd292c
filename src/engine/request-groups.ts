import type { Sequence, SequenceGroup } from './sequence.ts';

/**
 * The requests that have not ended, and those of their sequences that wait for their leader: all choices of a request
 * have one prompt, which its first one computes for them.
 */
export class RequestGroups {
  readonly #groups = new Map<number, SequenceGroup>();
  #deferred = 0;

  get size(): number {
    return this.#groups.size;
  }

  /** Sequences that wait for their leader. */
  get deferred(): number {
    return this.#deferred;
  }

  [Symbol.iterator](): Iterator<SequenceGroup> {
    return this.#groups.values();
  }

  *sequences(): Iterable<Sequence> {
    for (const group of this.#groups.values()) yield* group.sequences;
  }

  get(id: number): SequenceGroup | undefined {
    return this.#groups.get(id);
  }

  /** Returns the leader, which may run; the others wait for it. */
  add(group: SequenceGroup): Sequence {
    if (this.#groups.has(group.id)) throw new Error(`request id ${group.id} is in use`);
    this.#groups.set(group.id, group);
    const [leader, ...others] = group.sequences;
    for (const sequence of others) {
      sequence.leader = leader;
      sequence.status = 'deferred';
      this.#deferred++;
    }
    return leader!;
  }

  /** The leader's prompt is computed, or never will be: those that waited for it, which may run. */
  release(leader: Sequence): readonly Sequence[] {
    const group = this.#groups.get(leader.requestId);
    if (group === undefined || group.sequences[1]?.status !== 'deferred') return [];
    const released = group.sequences.filter(({ status }) => status === 'deferred');
    for (const sequence of released) this.#leave(sequence, 'waiting');
    return released;
  }

  /** A sequence ends before its turn has come. */
  endDeferred(sequence: Sequence): void {
    this.#leave(sequence, 'finished');
  }

  /** Forgets the request if all of its sequences have ended. */
  prune(id: number): void {
    if (this.#groups.get(id)?.sequences.every(({ status }) => status === 'finished')) this.#groups.delete(id);
  }

  #leave(sequence: Sequence, status: 'waiting' | 'finished'): void {
    sequence.status = status;
    this.#deferred--;
  }
}
