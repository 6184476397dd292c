import { MarkerScanner } from './marker-scanner.ts';
import type { OutputEvent, OutputParser } from './output-parser.ts';

const opening = '<think>';
const closing = '</think>';

/**
 * Reasoning between `<think>` and `</think>`, at the head of the answer:
 *
 *   head ──<think>──▶ reasoning ──</think>──▶ content
 *     └──anything else──▶ content
 *
 * Templates may write `<think>` themselves: the answer then begins inside.
 */
export function createThinkParser({ beginsInside }: { readonly beginsInside: boolean }): OutputParser {
  const scanner = new MarkerScanner();
  let state: 'head' | 'reasoning' | 'content' = 'head';

  const event = (kind: 'content' | 'reasoning', text: string): OutputEvent[] =>
    text === '' ? [] : [{ kind, text }];

  const head = (): void => {
    const text = scanner.held.trimStart();
    if (text === '' || (text.length < opening.length && opening.startsWith(text))) return;
    if (text.startsWith(opening)) {
      scanner.until(opening);
      state = 'reasoning';
    } else state = beginsInside ? 'reasoning' : 'content';
  };

  return {
    push: (text) => {
      scanner.push(text);
      if (state === 'head') head();
      const events: OutputEvent[] = [];
      if (state === 'reasoning') {
        const { text: thought, isFound } = scanner.until(closing);
        events.push(...event('reasoning', thought));
        if (isFound) state = 'content';
      }
      if (state === 'content') events.push(...event('content', scanner.rest()));
      return events;
    },
    finish: () => {
      const isThought = state === 'reasoning' || (state === 'head' && beginsInside);
      return event(isThought ? 'reasoning' : 'content', scanner.rest());
    },
  };
}
