import { CallSequence } from './call-sequence.ts';
import { MarkerScanner } from './marker-scanner.ts';
import type { OutputEvent, OutputParser } from './output-parser.ts';
import { eventsUntilHeld } from './output-parser.ts';

const opening = '<tool_call>';
const closing = '</tool_call>';

/**
 * Hermes and Qwen: `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, once per call.
 *
 *   content ──<tool_call>──▶ before `{` ──▶ call ──`}`──▶ after ──</tool_call>──▶ content
 */
export function createHermesParser(): OutputParser {
  const scanner = new MarkerScanner();
  const calls = new CallSequence();
  let state: 'content' | 'before' | 'call' | 'after' = 'content';

  /** One transition at most; undefined when more text is needed. */
  const advance = (): OutputEvent[] | undefined => {
    switch (state) {
      case 'content': {
        const { text, isFound } = scanner.until(opening);
        if (isFound) state = 'before';
        if (!isFound && text === '') return undefined;
        return text === '' ? [] : [{ kind: 'content', text }];
      }
      case 'before': {
        const text = scanner.held.trimStart();
        if (text === '') return undefined;
        scanner.take(scanner.held.length - text.length);
        state = text.startsWith('{') ? 'call' : 'content';
        if (state === 'content') return [{ kind: 'content', text: opening }];
        calls.open();
        return [];
      }
      case 'call': {
        if (scanner.held === '') return undefined;
        const events = calls.read(scanner);
        if (!calls.isOpen) state = 'after';
        return events;
      }
      case 'after': {
        const { isFound } = scanner.until(closing);
        if (!isFound) return undefined;
        state = 'content';
        return [];
      }
    }
  };

  return {
    push: (text) => {
      scanner.push(text);
      return eventsUntilHeld(advance);
    },
    finish: () => {
      const unfinished = calls.abandon();
      const rest = state === 'after' ? '' : (state === 'before' ? opening : '') + scanner.rest();
      return rest === '' ? unfinished : [...unfinished, { kind: 'content', text: rest }];
    },
  };
}
