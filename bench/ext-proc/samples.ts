/** Milliseconds, in memory that is made before the measurement and only doubled in it. */
export class Samples {
  #values = new Float64Array(1 << 18);
  #count = 0;
  #isSorted = false;

  get count(): number {
    return this.#count;
  }

  push(ms: number): void {
    if (this.#count === this.#values.length) {
      const larger = new Float64Array(this.#count * 2);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.#count++] = ms;
    this.#isSorted = false;
  }

  /** NaN of none. */
  quantile(q: number): number {
    const values = this.#values.subarray(0, this.#count);
    if (!this.#isSorted) values.sort();
    this.#isSorted = true;
    return values[Math.min(this.#count - 1, Math.floor(q * this.#count))] ?? Number.NaN;
  }
}
