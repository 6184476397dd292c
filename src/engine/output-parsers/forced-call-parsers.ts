import { MarkerScanner } from './marker-scanner.ts';
import { createCallListReader } from './mistral-parser.ts';
import type { OutputParser } from './output-parser.ts';

/** `tool_choice: "required"`: the whole answer is a list of calls, held to that by structured output. */
export function createCallListParser(): OutputParser {
  const scanner = new MarkerScanner();
  const list = createCallListReader(scanner);
  return {
    push: (text) => {
      scanner.push(text);
      return list.read();
    },
    // The beginning of a call that has no name yet is no text for people.
    finish: () => [],
  };
}

/** A named `tool_choice`: the whole answer is the arguments of that one tool. */
export function createNamedCallParser(name: string): OutputParser {
  let isAnnounced = false;
  return {
    push: (text) => {
      if (text === '') return [];
      const head = isAnnounced ? [] : [{ kind: 'call', index: 0, name } as const];
      isAnnounced = true;
      return [...head, { kind: 'arguments', index: 0, text }];
    },
    finish: () => [],
  };
}
