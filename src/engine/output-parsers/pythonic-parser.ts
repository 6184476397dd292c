import type { OutputEvent, OutputParser } from './output-parser.ts';
import { eventsUntilHeld } from './output-parser.ts';
import { jsonOfPythonLiteral } from './python-literal.ts';
import { PythonSpan } from './python-span.ts';

/** `[name(` and then the name of an argument, or the end of none. */
const head = /^\s*\[\s*([A-Za-z_][\w.]*)\s*\(\s*(?=[A-Za-z_]\w*\s*=|\))/;
/** What may still become a head. */
const headBegun = /^\s*(?:\[\s*(?:[A-Za-z_][\w.]*\s*(?:\(\s*(?:[A-Za-z_]\w*\s*)?)?)?)?$/;
const nextCall = /^[\s,]*([A-Za-z_][\w.]*)\s*\(/;
const nextCallBegun = /^[\s,]*(?:[A-Za-z_][\w.]*\s*)?$/;

/**
 * Llama 3.2, Llama 4 and others: the answer is a list of calls in Python's words, `[f(a=1, b="x"), g()]`, or it is
 * text.
 *
 *   head ──`[name(`──▶ arguments ──`)`──▶ between ──`, name(`──▶ arguments
 *     └──anything else──▶ content ◀──`]`──┘
 *
 * Arguments are told one by one, as soon as each is complete; one that is cut off is not. A value that is no literal
 * of Python is told as a string; values without a name have no place in JSON and are left out.
 */
export function createPythonicParser(): OutputParser {
  let held = '';
  let state: 'head' | 'arguments' | 'between' | 'content' = 'head';
  let index = -1;
  let isFirst = true;
  /** Of the argument that is being written, and how much of `held` it has seen. */
  let span = new PythonSpan();
  let scanned = 0;

  const drop = (length: number): void => {
    held = held.slice(length);
    span = new PythonSpan();
    scanned = 0;
  };

  const announce = ([whole, name]: RegExpExecArray): OutputEvent[] => {
    drop(whole.length);
    index++;
    isFirst = true;
    state = 'arguments';
    return [{ kind: 'call', index, name: name! }];
  };

  /** Where the argument that is being written ends, at its `,` or `)`. */
  const endOfArgument = (): number | undefined => {
    for (; scanned < held.length; scanned++) {
      const character = held[scanned]!;
      if (span.isOutside && (character === ',' || character === ')')) return scanned;
      span.step(character);
    }
    return undefined;
  };

  const readArgument = (): OutputEvent[] | undefined => {
    const end = endOfArgument();
    if (end === undefined) return undefined;
    const member = memberOf(held.slice(0, end));
    const isLast = held[end] === ')';
    drop(end + 1);
    if (isLast) state = 'between';
    const opening = isFirst && (isLast || member !== undefined) ? '{' : '';
    const separator = isFirst || member === undefined ? '' : ', ';
    if (member !== undefined) isFirst = false;
    const text = opening + separator + (member ?? '') + (isLast ? '}' : '');
    return text === '' ? [] : [{ kind: 'arguments', index, text }];
  };

  const toContent = (dropped: number): OutputEvent[] => {
    drop(dropped);
    state = 'content';
    return [];
  };

  const advance = (): OutputEvent[] | undefined => {
    switch (state) {
      case 'head': {
        const found = head.exec(held);
        if (found !== null) return announce(found);
        return headBegun.test(held) ? undefined : toContent(0);
      }
      case 'arguments':
        return readArgument();
      case 'between': {
        const found = nextCall.exec(held);
        if (found !== null) return announce(found);
        return nextCallBegun.test(held) ? undefined : toContent(/^[\s,]*\]/.exec(held)?.[0].length ?? 0);
      }
      case 'content': {
        const text = held;
        drop(text.length);
        return text === '' ? undefined : [{ kind: 'content', text }];
      }
    }
  };

  return {
    push: (text) => {
      held += text;
      return eventsUntilHeld(advance);
    },
    finish: () => (state === 'arguments' || held === '' ? [] : [{ kind: 'content', text: held }]),
  };
}

/** `name=value` as a member of a JSON object; undefined for a value without a name. */
function memberOf(source: string): string | undefined {
  const [, name, value] = /^\s*([A-Za-z_]\w*)\s*=([\s\S]*)$/.exec(source) ?? [];
  if (name === undefined || value === undefined) return undefined;
  return `${JSON.stringify(name)}: ${jsonOfPythonLiteral(value) ?? JSON.stringify(value.trim())}`;
}
