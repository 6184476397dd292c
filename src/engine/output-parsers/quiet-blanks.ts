import type { OutputEvent, OutputParser } from './output-parser.ts';

/** Drops blanks of the content that only separate it from a call, before or after. */
export function withoutBlanksAroundCalls(parser: OutputParser): OutputParser {
  let held = '';
  let isAfterCall = false;
  const filter = (events: readonly OutputEvent[]): OutputEvent[] =>
    events.flatMap((event): readonly OutputEvent[] => {
      if (event.kind !== 'content') {
        held = '';
        isAfterCall = true;
        return [event];
      }
      const text = isAfterCall ? event.text.trimStart() : held + event.text;
      const shown = text.trimEnd();
      if (shown === '') {
        if (!isAfterCall) held = text;
        return [];
      }
      isAfterCall = false;
      held = text.slice(shown.length);
      return [{ kind: 'content', text: shown }];
    });
  return {
    push: (text) => filter(parser.push(text)),
    finish: () => {
      const events = filter(parser.finish());
      return held === '' || isAfterCall ? events : [...events, { kind: 'content', text: held }];
    },
  };
}
