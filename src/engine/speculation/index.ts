/**
 * Drafts of tokens that the model then checks, several in one step. What is accepted is what the model would have
 * said by itself: drafts change the speed, never the output.
 *
 * State owned: nothing. Imports allowed: nothing of ours.
 */
export { draftByNgram } from './ngram.ts';
export type { SpeculativeConfig } from './speculative-config.ts';
export { readSpeculativeConfig } from './speculative-config.ts';
