/** A piece of a sorted answer, in the order in which the model wrote it. */
export type OutputEvent =
  | { readonly kind: 'content'; readonly text: string }
  | { readonly kind: 'reasoning'; readonly text: string }
  /** Calls of one answer count from 0; `arguments` of the call follow. */
  | { readonly kind: 'call'; readonly index: number; readonly name: string }
  /** The next part of a call's arguments, as JSON text. */
  | { readonly kind: 'arguments'; readonly index: number; readonly text: string };

/**
 * Sorts one answer as it grows. The events, with neighbours of one kind joined, do not depend on where the text
 * is cut.
 */
export interface OutputParser {
  push(text: string): readonly OutputEvent[];
  /** The end of the text: what was held back is what it looks like now. */
  finish(): readonly OutputEvent[];
}

/** Everything is content. */
export function plainParser(): OutputParser {
  return { push: (text) => (text === '' ? [] : [{ kind: 'content', text }]), finish: () => [] };
}

/** Takes one step after the other until more text is needed. */
export function eventsUntilHeld(advance: () => readonly OutputEvent[] | undefined): OutputEvent[] {
  const events: OutputEvent[] = [];
  for (let next = advance(); next !== undefined; next = advance()) events.push(...next);
  return events;
}

/** The second parser sees what the first one calls content. */
export function chainParsers(first: OutputParser, second: OutputParser): OutputParser {
  const through = (events: readonly OutputEvent[]) =>
    events.flatMap((event) => (event.kind === 'content' ? second.push(event.text) : [event]));
  return {
    push: (text) => through(first.push(text)),
    finish: () => [...through(first.finish()), ...second.finish()],
  };
}
