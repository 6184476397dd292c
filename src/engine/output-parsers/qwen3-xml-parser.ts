import { CallSequence } from './call-sequence.ts';
import { MarkerScanner } from './marker-scanner.ts';
import type { OutputEvent, OutputParser } from './output-parser.ts';
import { eventsUntilHeld } from './output-parser.ts';
import type { ToolParameters } from './tool-parameters.ts';
import { isPlainText, jsonOfParameter, parameterTypes } from './tool-parameters.ts';

/**
 * Qwen3-Coder and its kin:
 *
 *   <tool_call>
 *   <function=name>
 *   <parameter=key>
 *   value
 *   </parameter>
 *   </function>
 *   </tool_call>
 *
 *   content ──<function=──▶ name ──>──▶ parameters ──<parameter=──▶ key ──>──▶ value
 *      ▲                                  │      ▲                              │
 *      └────────────</function>───────────┘      └────────</parameter>──────────┘
 *
 * `<tool_call>` around it, which some leave out, is dropped. A value is text or JSON, by the tool's schema; text is told
 * as it grows, another value when it is complete.
 */
export function createQwen3XmlParser(tools: ToolParameters): OutputParser {
  const scanner = new MarkerScanner();
  const calls = new CallSequence();
  let state: 'content' | 'name' | 'parameters' | 'key' | 'value' = 'content';
  let schema: unknown;
  let index = 0;
  let isFirst = true;
  let value = new ParameterValue(new Set());

  const say = (text: string): OutputEvent[] => (text === '' ? [] : [{ kind: 'arguments', index, text }]);

  /** What stands before the next `>`; undefined if that has not come. */
  const upToBracket = (): string | undefined => {
    const length = scanner.held.indexOf('>') + 1;
    return length === 0 ? undefined : scanner.take(length).slice(0, -1).trim();
  };

  const advance = (): OutputEvent[] | undefined => {
    switch (state) {
      case 'content': {
        const { text, isFound, marker } = scanner.until('<tool_call>', '</tool_call>', '<function=');
        if (marker === '<function=') state = 'name';
        if (text !== '') return [{ kind: 'content', text }];
        return isFound ? [] : undefined;
      }
      case 'name': {
        const name = upToBracket();
        if (name === undefined) return undefined;
        const event = calls.announce(name);
        schema = tools.get(name);
        index = event.index;
        isFirst = true;
        state = 'parameters';
        return [event];
      }
      case 'parameters': {
        const { isFound, marker } = scanner.until('<parameter=', '</function>');
        if (!isFound) return undefined;
        state = marker === '<parameter=' ? 'key' : 'content';
        return state === 'key' ? [] : say(isFirst ? '{}' : '}');
      }
      case 'key': {
        const key = upToBracket();
        if (key === undefined) return undefined;
        value = new ParameterValue(parameterTypes(schema, key));
        state = 'value';
        const opening = isFirst ? '{' : ', ';
        isFirst = false;
        return say(`${opening}${JSON.stringify(key)}: `);
      }
      case 'value': {
        const { text, isFound } = scanner.until('</parameter>');
        if (!isFound && text === '') return undefined;
        if (isFound) state = 'parameters';
        return say(value.push(text) + (isFound ? value.finish() : ''));
      }
    }
  };

  return {
    push: (text) => {
      scanner.push(text);
      return eventsUntilHeld(advance);
    },
    finish: () => {
      const rest = state === 'content' ? scanner.rest() : '';
      return rest === '' ? [] : [{ kind: 'content', text: rest }];
    },
  };
}

/** One value as JSON text; a line feed on either side belongs to the tags. */
class ParameterValue {
  readonly #types: ReadonlySet<string>;
  /** Not told yet. */
  #held = '';
  #isBegun = false;

  constructor(types: ReadonlySet<string>) {
    this.#types = types;
  }

  /** What can be told by now. */
  push(text: string): string {
    this.#held += text;
    if (!isPlainText(this.#types) || this.#held === '') return '';
    const isFirst = !this.#isBegun;
    if (isFirst) this.#held = this.#held.replace(/^\n/, '');
    this.#isBegun = true;
    // The last line feed may be that of the closing tag; half a pair of code units is no character.
    const kept = /(?:\n|[\ud800-\udbff])$/.exec(this.#held)?.[0].length ?? 0;
    const told = this.#held.slice(0, this.#held.length - kept);
    this.#held = this.#held.slice(told.length);
    return (isFirst ? '"' : '') + JSON.stringify(told).slice(1, -1);
  }

  /** The rest. */
  finish(): string {
    if (isPlainText(this.#types))
      return `${this.#isBegun ? '' : '"'}${JSON.stringify(this.#held.replace(/\n$/, '')).slice(1, -1)}"`;
    return jsonOfParameter(this.#held.replace(/^\n/, '').replace(/\n$/, ''), this.#types);
  }
}
