import { IdColumn, PairTable } from './pair-table.ts';

/**
 * Sets of endpoints that blocks share: neighbouring blocks of a prompt have the same holders, so a block
 * keeps a set's id instead of the set, and its memory does not depend on the number of endpoints.
 *
 * A set is found by its Zobrist hash, the XOR of a fixed 64-bit number per member (Zobrist 1970), so adding
 * or removing a member is one XOR and one look-up. Two different sets of the at most `maxSets` live ones get
 * the same hash with a chance of about 2^-29. Id 0 is the empty set. A set lives as long as blocks refer to
 * it, so nothing piles up and nothing needs sweeping.
 */
export class EndpointSets {
  readonly #maxSets: number;
  readonly #ids = new PairTable();
  readonly #references = new IdColumn();
  /** Members as bits, `[ids, words]`. */
  #bits = new Int32Array(64);
  #words = 1;

  constructor({ maxSets }: { readonly maxSets: number }) {
    this.#maxSets = maxSets;
    this.#references.reach(0);
  }

  get size(): number {
    return this.#ids.size;
  }

  /** 32-bit words per set; grows with the highest member. */
  get words(): number {
    return this.#words;
  }

  /** Word `word` of the set's members. */
  members(set: number, word: number): number {
    return this.#bits[set * this.#words + word]!;
  }

  /** The set with one more member, which it must not have yet; 0 if that is new and `maxSets` is reached. */
  with(set: number, member: number): number {
    this.#reachMember(member);
    const found = this.#neighbour(set, member);
    if (found !== 0) return found;
    return this.#ids.size >= this.#maxSets ? 0 : this.#create(set, member);
  }

  /** The set with one member less, which it must have; 0 if that leaves none. May exceed `maxSets`. */
  without(set: number, member: number): number {
    if (this.#isOnly(set, member)) return 0;
    return this.#neighbour(set, member) || this.#create(set, member);
  }

  /** A block now refers to `to` instead of `from`; either may be 0. Frees `from` with its last block. */
  move(from: number, to: number): void {
    if (to !== 0) this.#references.set(to, this.#references.get(to) + 1);
    if (from === 0) return;
    const left = this.#references.get(from) - 1;
    this.#references.set(from, left);
    if (left > 0) return;
    this.#ids.remove(from);
    this.#bits.fill(0, from * this.#words, (from + 1) * this.#words);
  }

  get bytes(): number {
    return this.#ids.bytes + this.#references.bytes + this.#bits.byteLength;
  }

  /** The set that differs from `set` in this one member, if it exists, else 0. */
  #neighbour(set: number, member: number): number {
    const low = set === 0 ? 0 : this.#ids.first(set);
    const high = set === 0 ? 0 : this.#ids.second(set);
    return this.#ids.find(low ^ zobristLow(member), high ^ zobristHigh(member), 0);
  }

  #create(set: number, member: number): number {
    const low = set === 0 ? 0 : this.#ids.first(set);
    const high = set === 0 ? 0 : this.#ids.second(set);
    const id = this.#ids.add(low ^ zobristLow(member), high ^ zobristHigh(member));
    this.#references.reach(id);
    const words = this.#words;
    if ((id + 1) * words > this.#bits.length) this.#bits = grown(this.#bits, (id + 1) * words * 2);
    // Set 0 never has bits, so copying it clears.
    this.#bits.copyWithin(id * words, set * words, (set + 1) * words);
    const at = id * words + (member >>> 5);
    this.#bits[at] = this.#bits[at]! ^ (1 << (member & 31));
    return id;
  }

  #isOnly(set: number, member: number): boolean {
    return this.#ids.first(set) === zobristLow(member) && this.#ids.second(set) === zobristHigh(member);
  }

  /** Widens every set when a member does not fit; rare, for members are small integers that are reused. */
  #reachMember(member: number): void {
    const words = (member >>> 5) + 1;
    if (words <= this.#words) return;
    const old = this.#bits;
    const oldWords = this.#words;
    const sets = this.#ids.lastId + 1;
    this.#words = words;
    this.#bits = new Int32Array(Math.max(64, sets * words * 2));
    for (let set = 0; set < sets; set++) {
      this.#bits.set(old.subarray(set * oldWords, (set + 1) * oldWords), set * words);
    }
  }
}

function grown(array: Int32Array<ArrayBuffer>, length: number): Int32Array<ArrayBuffer> {
  const copy = new Int32Array(length);
  copy.set(array);
  return copy;
}

/** SplitMix-like mixing of the member's number; signed 32 bits. */
function zobristLow(member: number): number {
  return mixed(Math.imul(member + 1, 0x9e3779b1));
}

function zobristHigh(member: number): number {
  return mixed(Math.imul(member + 1, 0x85ebca77) ^ 0x5bd1e995);
}

function mixed(value: number): number {
  let bits = Math.imul(value ^ (value >>> 16), 0x21f0aaad);
  bits = Math.imul(bits ^ (bits >>> 15), 0x735a2d97);
  return bits ^ (bits >>> 15);
}
