import { CallSequence } from './call-sequence.ts';
import { JsonSpan } from './json-span.ts';
import { MarkerScanner } from './marker-scanner.ts';
import type { OutputEvent, OutputParser } from './output-parser.ts';
import { eventsUntilHeld } from './output-parser.ts';

const marker = '[TOOL_CALLS]';

/**
 * Mistral: `[TOOL_CALLS]` and then, by the tokenizer's age, either a list `[{"name": …, "arguments": …}, …]`
 * or `name{…}`, with `[ARGS]` or `[CALL_ID]…` in front of the brace in some versions.
 */
export function createMistralParser(): OutputParser {
  const scanner = new MarkerScanner();
  const list = createCallListReader(scanner);
  let state: 'content' | 'marker' | 'list' | 'arguments' = 'content';
  let span = new JsonSpan();
  let index = 0;

  const readArguments = (): OutputEvent[] => {
    let length = 0;
    for (const character of scanner.held) {
      length += character.length;
      span.step(character);
      if (span.depth > 0) continue;
      state = 'content';
      break;
    }
    return [{ kind: 'arguments', index, text: scanner.take(length) }];
  };

  const readMarker = (): OutputEvent[] | undefined => {
    const text = scanner.held.trimStart();
    if (text.startsWith('[') && !'[ARGS]'.startsWith(text.slice(0, 6))) {
      state = 'list';
      return [];
    }
    const brace = text.indexOf('{');
    if (brace < 0) return undefined;
    const [name = ''] = text.slice(0, brace).split('[', 1);
    scanner.take(scanner.held.length - text.length + brace);
    span = new JsonSpan();
    state = 'arguments';
    const event = list.calls.announce(name.trim());
    index = event.index;
    return [event];
  };

  const advance = (): OutputEvent[] | undefined => {
    switch (state) {
      case 'content': {
        const { text, isFound } = scanner.until(marker);
        if (isFound) state = 'marker';
        if (!isFound && text === '') return undefined;
        return text === '' ? [] : [{ kind: 'content', text }];
      }
      case 'marker':
        return readMarker();
      case 'list': {
        const events = list.read();
        if (list.isOver) state = 'content';
        return events.length > 0 || list.isOver ? events : undefined;
      }
      case 'arguments':
        return scanner.held === '' ? undefined : readArguments();
    }
  };

  return {
    push: (text) => {
      scanner.push(text);
      return eventsUntilHeld(advance);
    },
    finish: () => {
      const unfinished = list.calls.abandon();
      const rest = (state === 'marker' ? marker : '') + (state === 'list' ? '' : scanner.rest());
      return rest === '' ? unfinished : [...unfinished, { kind: 'content', text: rest }];
    },
  };
}

/** A JSON list of calls, from its `[` to its `]`. */
export function createCallListReader(scanner: MarkerScanner) {
  const calls = new CallSequence();
  let isOver = false;
  return {
    calls,
    get isOver() {
      return isOver;
    },
    read: (): OutputEvent[] => {
      const events: OutputEvent[] = [];
      isOver = false;
      while (scanner.held !== '' && !isOver) {
        if (calls.isOpen) events.push(...calls.read(scanner));
        else if (scanner.held.startsWith('{')) calls.open();
        else isOver = scanner.take(1) === ']';
      }
      return events;
    },
  };
}
