export interface SentBatch {
  readonly sequence: number;
  readonly payload: Buffer;
}

/** The latest batches, by consecutive sequence numbers from 0. The oldest give way. */
export class ReplayBuffer {
  readonly #ring: SentBatch[] = [];
  readonly #capacity: number;
  #next = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Numbers the batch and keeps it. */
  push(payload: Buffer): SentBatch {
    const batch = { sequence: this.#next++, payload };
    if (this.#capacity > 0) this.#ring[batch.sequence % this.#capacity] = batch;
    return batch;
  }

  /** Batches from `first` on that are still kept, oldest first. Lives on while batches are added. */
  *from(first: bigint): Generator<SentBatch> {
    const oldest = BigInt(Math.max(0, this.#next - this.#capacity));
    const start = Number(first > oldest ? first : oldest);
    for (let sequence = start; sequence < this.#next; sequence++) {
      const batch = this.#ring[sequence % this.#capacity];
      // Overtaken by new batches while the reader was slow.
      if (batch?.sequence === sequence) yield batch;
    }
  }
}
