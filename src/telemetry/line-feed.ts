/** More than this is not held for followers that are slow, or when decisions come faster than lines are made. */
const longestBacklog = 10_000;

/** Lines for whoever follows. Making a line is put off until the present step is done, and done only if someone follows. */
export class LineFeed<Item> {
  readonly #toLine: (item: Item) => string;
  readonly #followers = new Set<(line: string) => void>();
  #backlog: Item[] = [];
  #dropped = 0;

  constructor(toLine: (item: Item) => string) {
    this.#toLine = toLine;
  }

  push(item: Item): void {
    if (this.#followers.size === 0) return;
    if (this.#backlog.length >= longestBacklog) this.#dropped++;
    else if (this.#backlog.push(item) === 1) setImmediate(() => this.#flush());
  }

  /** Calls back with each line from now on, until the function returned is called. */
  follow(onLine: (line: string) => void): () => void {
    this.#followers.add(onLine);
    return () => this.#followers.delete(onLine);
  }

  #flush(): void {
    const items = this.#backlog;
    const dropped = this.#dropped;
    this.#backlog = [];
    this.#dropped = 0;
    for (const item of items) this.#tell(this.#toLine(item));
    if (dropped > 0) this.#tell(droppedLine(dropped));
  }

  #tell(line: string): void {
    for (const follower of this.#followers) follower(line);
  }
}

/** Stands where lines are missing. */
export function droppedLine(count: number): string {
  return JSON.stringify({ dropped: count });
}
