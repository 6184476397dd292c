import { MarkerScanner } from './marker-scanner.ts';
import { createCallListReader } from './mistral-parser.ts';
import type { OutputEvent, OutputParser } from './output-parser.ts';
import { eventsUntilHeld } from './output-parser.ts';

const marker = 'functools[';

/** Phi-4 mini: `functools[{"name": …, "arguments": {…}}, …]`, perhaps after text. */
export function createPhi4MiniParser(): OutputParser {
  const scanner = new MarkerScanner();
  const list = createCallListReader(scanner);
  let isList = false;

  const advance = (): OutputEvent[] | undefined => {
    if (isList) {
      const events = list.read();
      isList = !list.isOver;
      return events.length > 0 || list.isOver ? events : undefined;
    }
    const { text, isFound } = scanner.until(marker);
    isList = isFound;
    if (!isFound && text === '') return undefined;
    return text === '' ? [] : [{ kind: 'content', text }];
  };

  return {
    push: (text) => {
      scanner.push(text);
      return eventsUntilHeld(advance);
    },
    finish: () => {
      const unfinished = list.calls.abandon();
      const rest = isList ? '' : scanner.rest();
      return rest === '' ? unfinished : [...unfinished, { kind: 'content', text: rest }];
    },
  };
}
