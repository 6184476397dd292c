import type { Endpoint } from './endpoint.ts';

/** Endpoints of a block at most: what a change copies, and what a look at all passes over in one comparison. */
export const blockSize = 32;

type Block = readonly Endpoint[];

/**
 * Endpoints in order, in blocks. A list that differs in a few endpoints shares the other blocks, so versions of a
 * large fleet cost little to make, to keep and to compare. Immutable.
 *
 *     before   [0 .. 31] [32 .. 63] [64 .. 95]
 *                  │     [32 .. 63]'    │          one endpoint changed
 *     after    ────┘──────────┘─────────┘
 */
export class EndpointList implements Iterable<Endpoint> {
  /** None is longer than `blockSize`; filtered ones are shorter. */
  readonly blocks: readonly Block[];
  /** Places before each block. */
  readonly #starts: readonly number[];
  readonly length: number;
  #flat: readonly Endpoint[] | undefined;

  constructor(blocks: readonly Block[], sameSizesAs?: EndpointList) {
    this.blocks = blocks;
    if (sameSizesAs !== undefined) {
      this.#starts = sameSizesAs.#starts;
      this.length = sameSizesAs.length;
      return;
    }
    const starts: number[] = [];
    let length = 0;
    for (const block of blocks) {
      starts.push(length);
      length += block.length;
    }
    this.#starts = starts;
    this.length = length;
  }

  static of(endpoints: readonly Endpoint[] | EndpointList): EndpointList {
    if (endpoints instanceof EndpointList) return endpoints;
    const blocks: Block[] = [];
    for (let start = 0; start < endpoints.length; start += blockSize) {
      const block: Endpoint[] = [];
      const end = Math.min(endpoints.length, start + blockSize);
      for (let place = start; place < end; place++) block.push(endpoints[place]!);
      blocks.push(block);
    }
    return new EndpointList(blocks);
  }

  /** The same list as one frozen array, made when it is first asked for. */
  get flat(): readonly Endpoint[] {
    this.#flat ??= Object.freeze(this.blocks.flat());
    return this.#flat;
  }

  /** The endpoint at this place, which is in the list. */
  at(place: number): Endpoint {
    let b = Math.min(this.blocks.length - 1, Math.floor(place / blockSize));
    while (b + 1 < this.blocks.length && this.#starts[b + 1]! <= place) b++;
    return this.blocks[b]![place - this.#starts[b]!]!;
  }

  /** What an iterator would cost more for. */
  some(isTrue: (endpoint: Endpoint) => boolean): boolean {
    for (const block of this.blocks) for (const endpoint of block) if (isTrue(endpoint)) return true;
    return false;
  }

  find(isTrue: (endpoint: Endpoint) => boolean): Endpoint | undefined {
    for (const block of this.blocks) for (const endpoint of block) if (isTrue(endpoint)) return endpoint;
    return undefined;
  }

  /** Place of what stands at `offset` in a block. */
  placeOf(block: number, offset: number): number {
    return this.#starts[block]! + offset;
  }

  /** A list with these endpoints in these places, of full blocks but for the last. */
  with(changes: readonly { readonly place: number; readonly endpoint: Endpoint }[]): EndpointList {
    const blocks = this.blocks.slice();
    for (const { place, endpoint } of changes) {
      const b = Math.floor(place / blockSize);
      const before = blocks[b]!;
      const block = before === this.blocks[b] ? before.slice() : (before as Endpoint[]);
      block[place % blockSize] = endpoint;
      blocks[b] = block;
    }
    return new EndpointList(blocks, this);
  }

  /** A list with `by` in the place of `endpoint`; the same if that is not in it. */
  replace(endpoint: Endpoint, by: Endpoint): EndpointList {
    for (let b = 0; b < this.blocks.length; b++) {
      const offset = this.blocks[b]!.indexOf(endpoint);
      if (offset >= 0) return this.with([{ place: b * blockSize + offset, endpoint: by }]);
    }
    return this;
  }

  /** The same list without `endpoint`. */
  without(endpoint: Endpoint): EndpointList {
    const isOther = (each: Endpoint) => each !== endpoint;
    const blocks = this.blocks.map((block) => (block.includes(endpoint) ? block.filter(isOther) : block));
    return new EndpointList(blocks.filter(({ length }) => length > 0));
  }

  *[Symbol.iterator](): Iterator<Endpoint> {
    for (const block of this.blocks) yield* block;
  }
}
