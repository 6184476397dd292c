import { Automaton, dead } from './automaton.ts';
import type { Grammar } from './grammar.ts';
import type { TokenTrie } from './token-trie.ts';
import type { Vocabulary } from './vocabulary.ts';
import { bytesOf } from './vocabulary.ts';

export interface StructureOptions {
  readonly grammar: Grammar;
  readonly vocabulary: Vocabulary;
  readonly trie: TokenTrie;
}

/** Masks kept per structure: 19 KB each at 150,000 tokens. */
const maxMasks = 512;

/** One structure over one vocabulary; shared by all sequences that are held to it. */
export class Structure {
  readonly #automaton: Automaton;
  readonly #vocabulary: Vocabulary;
  readonly #trie: TokenTrie;
  /** By state; the oldest give way. */
  readonly #masks = new Map<number, Uint32Array>();

  constructor({ grammar, vocabulary, trie }: StructureOptions) {
    this.#automaton = new Automaton(grammar);
    this.#vocabulary = vocabulary;
    this.#trie = trie;
  }

  /** The beginning of a text. */
  begin(): StructuredText {
    return new StructuredText(this, this.#automaton.start);
  }

  /** So many states have been met that new texts had better begin afresh. */
  get isWorn(): boolean {
    return this.#automaton.fullness > 0.5;
  }

  isAccepting(state: number): boolean {
    return this.#automaton.isAccepting(state);
  }

  isOver(state: number): boolean {
    return this.#automaton.isOver(state);
  }

  after(state: number, tokenId: number): number {
    let at = state;
    for (const byte of bytesOf(this.#vocabulary, tokenId)) {
      at = this.#automaton.step(at, byte);
      if (at === dead) return dead;
    }
    return at;
  }

  /** One bit per token, set if it may come. O(vocabulary) the first time a state is met. */
  mask(state: number): Uint32Array {
    const known = this.#masks.get(state);
    if (known !== undefined) return known;
    if (this.#masks.size >= maxMasks) this.#masks.delete(this.#masks.keys().next().value!);
    const mask = this.#computeMask(state);
    this.#masks.set(state, mask);
    return mask;
  }

  #computeMask(state: number): Uint32Array {
    const { nodes, bytes, depths, tokens, ends, maxDepth } = this.#trie;
    const mask = new Uint32Array(Math.ceil((this.#vocabulary.starts.length - 1) / 32));
    const path = new Int32Array(maxDepth + 1);
    path[0] = state;
    for (let node = 0; node < nodes; ) {
      const depth = depths[node]!;
      const reached = this.#automaton.step(path[depth - 1]!, bytes[node]!);
      if (reached === dead) {
        node = ends[node]!;
        continue;
      }
      path[depth] = reached;
      const token = tokens[node]!;
      if (token >= 0) mask[token >>> 5]! |= 1 << (token & 31);
      node++;
    }
    return mask;
  }
}

/** How far one sequence has come. */
export class StructuredText {
  readonly #structure: Structure;
  #state: number;

  constructor(structure: Structure, state: number) {
    this.#structure = structure;
    this.#state = state;
  }

  /** The text is complete as it is: it may end here. */
  get mayEnd(): boolean {
    return this.#state !== dead && this.#structure.isAccepting(this.#state);
  }

  /** Nothing may follow: the text ends here. */
  get isOver(): boolean {
    return this.#state === dead || this.#structure.isOver(this.#state);
  }

  /** Tokens that may come, one bit each. */
  get mask(): Uint32Array {
    return this.#structure.mask(this.#state);
  }

  /** A token that may not come ends the text; end-of-text tokens have no bytes and change nothing. */
  push(tokenId: number): void {
    if (this.#state !== dead) this.#state = this.#structure.after(this.#state, tokenId);
  }
}
