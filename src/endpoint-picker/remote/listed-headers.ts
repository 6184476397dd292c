import { appendText, TextListReader } from './text-list.ts';

/** All headers at the end of a list of texts: name, value, name, value. */
export function appendHeaders(list: string, headers: ReadonlyMap<string, string>): string {
  let appended = list;
  for (const [name, value] of headers) appended = appendText(appendText(appended, name), value);
  return appended;
}

/**
 * Headers as they came over a link. Most requests are asked for one or two of them, so these are looked for in the
 * list, and a map is made only for who wants more.
 */
export class ListedHeaders implements ReadonlyMap<string, string> {
  readonly #list: string;
  readonly #start: number;
  readonly size: number;
  #searches = 0;
  #map: Map<string, string> | undefined;

  /** `size` pairs begin at `start`. */
  constructor(list: string, start: number, size: number) {
    this.#list = list;
    this.#start = start;
    this.size = size;
  }

  get(name: string): string | undefined {
    if (this.#map === undefined && this.#searches++ < longestSearches) return this.#search(name);
    return this.#whole.get(name);
  }

  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  forEach(each: (value: string, name: string, map: ReadonlyMap<string, string>) => void): void {
    for (const [name, value] of this.#whole) each(value, name, this);
  }

  entries(): MapIterator<[string, string]> {
    return this.#whole.entries();
  }

  keys(): MapIterator<string> {
    return this.#whole.keys();
  }

  values(): MapIterator<string> {
    return this.#whole.values();
  }

  [Symbol.iterator](): MapIterator<[string, string]> {
    return this.entries();
  }

  get #whole(): Map<string, string> {
    this.#map ??= this.#read();
    return this.#map;
  }

  #search(name: string): string | undefined {
    const reader = new TextListReader(this.#list, this.#start);
    for (let i = 0; i < this.size; i++) {
      if (reader.isNext(name)) return reader.next();
      reader.skip();
    }
    return undefined;
  }

  #read(): Map<string, string> {
    const map = new Map<string, string>();
    const reader = new TextListReader(this.#list, this.#start);
    for (let i = 0; i < this.size; i++) {
      const name = reader.next();
      map.set(name, reader.next());
    }
    return map;
  }
}

/** As many searches cost about as much as the map. */
const longestSearches = 8;
