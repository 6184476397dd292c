import type { Constraint } from './constraint.ts';
import { compileConstraint } from './constraint.ts';
import { Structure, type StructuredText } from './structure.ts';
import type { TokenTrie } from './token-trie.ts';
import { createTokenTrie } from './token-trie.ts';
import type { Vocabulary } from './vocabulary.ts';

/** Structures kept, with the states and masks that they have met. */
const maxStructures = 64;

/** Structures by what they hold to: requests that ask for the same thing share its masks. */
export class StructureCache {
  readonly #structures = new Map<string, Structure>();
  #vocabulary: Vocabulary | undefined;
  #trie: TokenTrie | undefined;

  /** What tokens stand for; before the first `begin`. */
  useVocabulary(vocabulary: Vocabulary): void {
    this.#vocabulary = vocabulary;
    this.#trie = undefined;
    this.#structures.clear();
  }

  /** The beginning of a text that is held to the constraint. */
  begin(constraint: Constraint): StructuredText {
    const key = JSON.stringify(constraint);
    const known = this.#structures.get(key);
    const structure = known === undefined || known.isWorn ? this.#create(constraint) : known;
    // The latest used is the last to go.
    this.#structures.delete(key);
    this.#structures.set(key, structure);
    if (this.#structures.size > maxStructures) this.#structures.delete(this.#structures.keys().next().value!);
    return structure.begin();
  }

  #create(constraint: Constraint): Structure {
    const vocabulary = this.#vocabulary;
    if (vocabulary === undefined)
      throw new Error('structured output needs the vocabulary, which has not been sent');
    this.#trie ??= createTokenTrie(vocabulary);
    return new Structure({ grammar: compileConstraint(constraint), vocabulary, trie: this.#trie });
  }
}
