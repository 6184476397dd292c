import { CallSequence } from './call-sequence.ts';
import { MarkerScanner } from './marker-scanner.ts';
import type { OutputEvent, OutputParser } from './output-parser.ts';

const pythonTag = '<|python_tag|>';

/**
 * Llama 3: the answer is a call, `{"name": …, "parameters": {…}}`, or several with `;` between them, perhaps
 * after `<|python_tag|>`; or it is text.
 */
export function createLlama3JsonParser(): OutputParser {
  const scanner = new MarkerScanner();
  const calls = new CallSequence();
  let state: 'head' | 'calls' | 'content' = 'head';

  const readHead = (): void => {
    const text = scanner.held.trimStart();
    if (text === '' || (text.length < pythonTag.length && pythonTag.startsWith(text))) return;
    if (text.startsWith(pythonTag)) scanner.until(pythonTag);
    else if (!text.startsWith('{')) {
      state = 'content';
      return;
    }
    state = 'calls';
  };

  const readCalls = (): OutputEvent[] => {
    const events: OutputEvent[] = [];
    while (scanner.held !== '' && state === 'calls') {
      if (!calls.isOpen) {
        const text = scanner.held.replace(/^[\s;,]+/, '');
        scanner.take(scanner.held.length - text.length);
        if (text.startsWith('{')) calls.open();
        else if (text !== '') state = 'content';
      } else events.push(...calls.read(scanner));
    }
    return events;
  };

  return {
    push: (text) => {
      scanner.push(text);
      if (state === 'head') readHead();
      const events = state === 'calls' ? readCalls() : [];
      if (state === 'content' && scanner.held !== '') events.push({ kind: 'content', text: scanner.rest() });
      return events;
    },
    finish: () => {
      const unfinished = calls.abandon();
      const rest = scanner.rest();
      return rest === '' ? unfinished : [...unfinished, { kind: 'content', text: rest }];
    },
  };
}
