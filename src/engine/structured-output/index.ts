/**
 * Text that is held to a structure: JSON, a JSON schema, a regular expression, a choice, a grammar.
 *
 *   Constraint ──▶ Expression ──▶ Grammar (a network over bytes) ──▶ Automaton (states as they are met)
 *                                                    token trie × state ──▶ mask, one bit per token
 *
 * State owned: the states, stacks and masks of recently used structures. Imports allowed: nothing of ours.
 */
export type { Constraint } from './constraint.ts';
export { compileConstraint } from './constraint.ts';
export { StructuredOutputError } from './expression.ts';
export type { StructuredText } from './structure.ts';
export { StructureCache } from './structure-cache.ts';
export type { Vocabulary } from './vocabulary.ts';
export { packVocabulary } from './vocabulary.ts';
