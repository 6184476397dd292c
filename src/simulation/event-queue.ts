/**
 * What happens next: a binary heap on typed arrays, ordered by time, then by the order of `push`, so that runs
 * repeat exactly. An event is two integers; the simulation gives them meaning.
 */
export class EventQueue {
  #size = 0;
  #sequence = 0;
  #times: Float64Array;
  #sequences: Float64Array;
  #targets: Int32Array;
  #versions: Int32Array;

  /** The event that `pop` took. */
  timeMs = 0;
  target = 0;
  version = 0;

  constructor(capacity = 64) {
    this.#times = new Float64Array(capacity);
    this.#sequences = new Float64Array(capacity);
    this.#targets = new Int32Array(capacity);
    this.#versions = new Int32Array(capacity);
  }

  get size(): number {
    return this.#size;
  }

  /** Time of the next event; Infinity when there is none. */
  get nextTimeMs(): number {
    return this.#size === 0 ? Number.POSITIVE_INFINITY : this.#times[0]!;
  }

  /** `version` lets the owner of a target ignore events that it has since replaced. */
  push(timeMs: number, target: number, version: number): void {
    if (this.#size === this.#times.length) this.#grow();
    const sequence = this.#sequence++;
    let hole = this.#size++;
    while (hole > 0) {
      const parent = (hole - 1) >> 1;
      if (this.#times[parent]! <= timeMs) break;
      this.#move(parent, hole);
      hole = parent;
    }
    this.#place(hole, timeMs, sequence, target, version);
  }

  /** Takes the earliest event into `timeMs`, `target` and `version`; false when there is none. */
  pop(): boolean {
    if (this.#size === 0) return false;
    this.timeMs = this.#times[0]!;
    this.target = this.#targets[0]!;
    this.version = this.#versions[0]!;
    const last = --this.#size;
    if (last > 0) this.#sink(last);
    return true;
  }

  /** Puts the event at index `last` where the root was, and restores the order below. */
  #sink(last: number): void {
    const timeMs = this.#times[last]!;
    const sequence = this.#sequences[last]!;
    const target = this.#targets[last]!;
    const version = this.#versions[last]!;
    let hole = 0;
    for (;;) {
      let child = 2 * hole + 1;
      if (child >= last) break;
      if (child + 1 < last && this.#isBefore(child + 1, child)) child++;
      const childMs = this.#times[child]!;
      if (timeMs < childMs || (timeMs === childMs && sequence < this.#sequences[child]!)) break;
      this.#move(child, hole);
      hole = child;
    }
    this.#place(hole, timeMs, sequence, target, version);
  }

  #isBefore(left: number, right: number): boolean {
    const difference = this.#times[left]! - this.#times[right]!;
    return difference === 0 ? this.#sequences[left]! < this.#sequences[right]! : difference < 0;
  }

  #move(from: number, to: number): void {
    this.#place(to, this.#times[from]!, this.#sequences[from]!, this.#targets[from]!, this.#versions[from]!);
  }

  #place(index: number, timeMs: number, sequence: number, target: number, version: number): void {
    this.#times[index] = timeMs;
    this.#sequences[index] = sequence;
    this.#targets[index] = target;
    this.#versions[index] = version;
  }

  #grow(): void {
    const times = new Float64Array(this.#size * 2);
    const sequences = new Float64Array(this.#size * 2);
    const targets = new Int32Array(this.#size * 2);
    const versions = new Int32Array(this.#size * 2);
    times.set(this.#times);
    sequences.set(this.#sequences);
    targets.set(this.#targets);
    versions.set(this.#versions);
    this.#times = times;
    this.#sequences = sequences;
    this.#targets = targets;
    this.#versions = versions;
  }
}
