/** What the compiled module exports; its addresses are globals of it. */
interface Exports {
  readonly memory: WebAssembly.Memory;
  readonly scanJson: (length: number, maxDepth: number) => number;
  readonly hashBlocks: (blocks: number, groups: number, chainLow: number, chainHigh: number) => number;
}

const addresses = [
  'bodyAt',
  'highAt',
  'lowAt',
  'membersAt',
  'mostBlocks',
  'mostMembers',
  'paddingBytes',
  'resultAt',
] as const;
type Addresses = Record<(typeof addresses)[number], number>;

/** What a scan found; holds until the next call. */
export interface SimdScan {
  readonly start: number;
  readonly end: number;
  readonly longestString: number;
  readonly members: number;
  /** [members, 4]: where key and value begin and end, from the start of the body. */
  readonly places: Int32Array;
}

/** The two lanes that go from block to block. */
export interface HashChain {
  low: number;
  high: number;
}

const pageBytes = 65_536;

/** Longer bodies are left to JavaScript: the memory of a module never shrinks. */
const longestBody = 16 << 20;

/** Bytes that are copied for hashing at once, few enough to stay in the processor's cache. */
const hashedAtOnce = 128 << 10;

/** The module and its memory, into which each call copies its bytes. */
export class SimdCode {
  readonly #exports: Exports;
  readonly #at: Readonly<Addresses>;
  #bytes = new Uint8Array(0);
  #result = new Int32Array(0);
  #places = new Int32Array(0);
  #low = new Uint32Array(0);
  #high = new Uint32Array(0);

  constructor(module: WebAssembly.Module) {
    const exports = new WebAssembly.Instance(module).exports as Exports &
      Readonly<Record<keyof Addresses, WebAssembly.Global>>;
    this.#exports = exports;
    this.#at = Object.fromEntries(addresses.map((name) => [name, exports[name].value])) as Addresses;
    this.#bytes = new Uint8Array(exports.memory.buffer);
    this.#reach(hashedAtOnce);
    this.#view();
  }

  /** Undefined for a body that is too long or too large in some other way, or no JSON. It must be UTF-8. */
  scanJson(body: Uint8Array, maxDepth: number): SimdScan | undefined {
    if (body.length > longestBody) return undefined;
    this.#reach(body.length);
    this.#bytes.set(body, this.#at.bodyAt);
    const members = this.#exports.scanJson(body.length, maxDepth);
    if (members < 0) return undefined;
    const result = this.#result;
    return { start: result[0]!, end: result[1]!, longestString: result[2]!, members, places: this.#places };
  }

  /**
   * Hashes `blocks` blocks of `blockWords` words, a multiple of four, from `from`; puts the hashes into the lanes from
   * `first` on. False, with nothing done, where a block is longer than what is copied at once.
   */
  hashBlocks(
    bytes: Uint8Array,
    from: number,
    blocks: number,
    blockWords: number,
    chain: HashChain,
    low: Uint32Array,
    high: Uint32Array,
    first: number,
  ): boolean {
    const { bodyAt, mostBlocks } = this.#at;
    const blockBytes = 4 * blockWords;
    const atOnce = Math.min(mostBlocks, Math.floor(hashedAtOnce / blockBytes));
    if (atOnce === 0 || blockWords % 4 !== 0) return false;
    for (let block = 0; block < blocks; block += atOnce) {
      const count = Math.min(atOnce, blocks - block);
      const start = from + block * blockBytes;
      const isWhole = start === 0 && bytes.length === count * blockBytes;
      this.#bytes.set(isWhole ? bytes : bytes.subarray(start, start + count * blockBytes), bodyAt);
      if (this.#exports.hashBlocks(count, blockWords / 4, chain.low, chain.high) === 0)
        throw new Error(`expected room for ${count} blocks of ${blockWords} words, found none`);
      chain.low = this.#result[0]!;
      chain.high = this.#result[1]!;
      low.set(this.#low.subarray(0, count), first + block);
      high.set(this.#high.subarray(0, count), first + block);
    }
    return true;
  }

  /** Makes room for a body of so many bytes. */
  #reach(bodyBytes: number): void {
    const { memory } = this.#exports;
    const missing = this.#at.bodyAt + bodyBytes + this.#at.paddingBytes - this.#bytes.length;
    if (missing <= 0) return;
    memory.grow(Math.ceil(missing / pageBytes));
    this.#view();
  }

  /** Growing takes the old views their memory. */
  #view(): void {
    const { buffer } = this.#exports.memory;
    const { membersAt, mostMembers, resultAt, lowAt, highAt, mostBlocks } = this.#at;
    this.#bytes = new Uint8Array(buffer);
    this.#result = new Int32Array(buffer, resultAt, 3);
    this.#places = new Int32Array(buffer, membersAt, 4 * mostMembers);
    this.#low = new Uint32Array(buffer, lowAt, mostBlocks);
    this.#high = new Uint32Array(buffer, highAt, mostBlocks);
  }
}
