/** Stands for all names beyond a limit. */
export const otherName = 'other';

/** Keeps a label's values bounded: the first `limit` names stay themselves, further ones become `other`. */
export class BoundedNames {
  readonly #known = new Set<string>();
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  has(name: string): boolean {
    return this.#known.has(name);
  }

  bounded(name: string): string {
    if (this.#known.has(name)) return name;
    if (this.#known.size >= this.#limit) return otherName;
    this.#known.add(name);
    return name;
  }
}
