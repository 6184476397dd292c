/** Keeps a label's values bounded: the first `limit` names stay themselves, further ones become `other`. */
export class BoundedNames {
  readonly #known = new Set<string>();
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  bounded(name: string): string {
    if (this.#known.has(name)) return name;
    if (this.#known.size >= this.#limit) return 'other';
    this.#known.add(name);
    return name;
  }
}
