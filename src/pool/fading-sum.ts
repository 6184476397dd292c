/** A sum whose parts fade: what was added t milliseconds ago counts e^(-t / fadeMs) of itself. */
export class FadingSum {
  readonly #fadeMs: number;
  #sum = 0;
  #atMs = 0;

  constructor(fadeMs: number) {
    this.#fadeMs = fadeMs;
  }

  add(amount: number, nowMs: number): void {
    this.#sum = this.at(nowMs) + amount;
    this.#atMs = nowMs;
  }

  /** Takes back what is left of an amount that was added then. */
  takeBack(amount: number, addedAtMs: number, nowMs: number): void {
    this.#sum = Math.max(0, this.at(nowMs) - amount * this.#left(nowMs - addedAtMs));
    this.#atMs = nowMs;
  }

  at(nowMs: number): number {
    return this.#sum === 0 ? 0 : this.#sum * this.#left(nowMs - this.#atMs);
  }

  #left(ageMs: number): number {
    return Math.exp(-Math.max(0, ageMs) / this.#fadeMs);
  }
}
