import { randomUUID } from 'node:crypto';
import type { OutputEvent, OutputParser } from '../output-parsers/index.ts';
import { chainParsers, plainParser } from '../output-parsers/index.ts';
import type { Constraint } from '../structured-output/index.ts';
import type { ChoiceFinish } from './choice-text.ts';
import { ReasoningCount, type ReasoningMarks } from './reasoning-count.ts';
import type { RequestBody } from './request-fields.ts';
import { readBoolean } from './request-fields.ts';
import type { ChoiceDelta } from './run-generation.ts';
import type { OutputFormats } from './server-context.ts';
import { forcedCalls, readToolUse, toolParameters } from './tool-use.ts';

/** How the answers of one chat are sorted and shown. */
export interface ChatOutput {
  /** What the text is held to. */
  readonly constraint: Constraint | undefined;
  readonly createParser: () => OutputParser;
  readonly createCallId: () => string;
  /** Markers are control tokens: the text must show them. */
  readonly needsSpecialTokens: boolean;
  /** The message has a `reasoning` field. */
  readonly hasReasoning: boolean;
  readonly includesReasoning: boolean;
  /** Absent: its tokens are not counted. */
  readonly reasoningMarks: ReasoningMarks | undefined;
  readonly allowsSeveralCalls: boolean;
  /** `finish_reason` of an answer that calls tools. */
  readonly callsFinishReason: 'tool_calls' | 'stop';
}

export interface ChatOutputOptions {
  readonly formats: OutputFormats;
  /** What the model continues. */
  readonly prompt: string;
  /** Of the vocabulary, if it has them. */
  readonly reasoningMarks: ReasoningMarks | undefined;
  /** What the request holds the text to. */
  readonly constraint: Constraint | undefined;
}

/**
 * Calls are looked for only if the request brings tools. Text that is held to a structure begins with it, so
 * there is no reasoning before it.
 */
export function readChatOutput(
  body: RequestBody,
  { formats, prompt, reasoningMarks, constraint }: ChatOutputOptions,
): ChatOutput {
  const use = readToolUse(body);
  const allowsSeveralCalls = readBoolean(body, 'parallel_tool_calls', true);
  const forced = forcedCalls(use, allowsSeveralCalls);
  const parameters = toolParameters(use);
  const toolCalls = use.tools === undefined ? undefined : formats.toolCalls;
  const held = forced?.constraint ?? constraint;
  const reasoning = held === undefined ? formats.reasoning : undefined;
  const idLength = formats.toolCalls?.callIdLength ?? 24;
  return {
    constraint: held,
    createParser: () => {
      if (forced !== undefined) return forced.createParser();
      const calls = toolCalls?.create(parameters) ?? plainParser();
      return reasoning === undefined ? calls : chainParsers(reasoning.create(prompt), calls);
    },
    createCallId: () => {
      const id = randomUUID().replaceAll('-', '').slice(0, idLength);
      return idLength > 9 ? `call_${id}` : id;
    },
    needsSpecialTokens: toolCalls?.needsSpecialTokens ?? false,
    hasReasoning: formats.reasoning !== undefined,
    reasoningMarks: formats.reasoning === undefined ? undefined : reasoningMarks,
    includesReasoning: readBoolean(body, 'include_reasoning', true),
    allowsSeveralCalls,
    // As OpenAI does: a call that was asked for by name is the ordinary end.
    callsFinishReason: use.choice.kind === 'named' ? 'stop' : 'tool_calls',
  };
}

/** One choice as it grows. */
export class ChoiceOutput {
  readonly #parser: OutputParser;
  readonly #output: ChatOutput;
  readonly #count: ReasoningCount | undefined;
  #hasCalls = false;
  #hasReasoning = false;

  constructor(output: ChatOutput) {
    this.#output = output;
    this.#parser = output.createParser();
    this.#count = output.reasoningMarks && new ReasoningCount(output.reasoningMarks);
  }

  push({ text, outputs, finish }: Omit<ChoiceDelta, 'choice'>): OutputEvent[] {
    this.#count?.push(outputs);
    const events = [...this.#parser.push(text), ...(finish === undefined ? [] : this.#parser.finish())];
    this.#hasReasoning ||= events.some(({ kind }) => kind === 'reasoning');
    const shown = joinNeighbours(events.filter((event) => this.#isShown(event)));
    this.#hasCalls ||= shown.some(({ kind }) => kind === 'call');
    return shown;
  }

  /** So far; undefined if they are not counted. */
  get reasoningTokens(): number | undefined {
    return this.#count?.tokens(this.#hasReasoning);
  }

  /** In OpenAI's words; null while the choice goes on. */
  finishReason(finish: ChoiceFinish | undefined): string | null {
    if (finish === undefined) return null;
    return this.#hasCalls && finish.reason === 'stop' ? this.#output.callsFinishReason : finish.reason;
  }

  #isShown(event: OutputEvent): boolean {
    if (event.kind === 'reasoning') return this.#output.includesReasoning;
    if (event.kind === 'content') return true;
    return event.index === 0 || this.#output.allowsSeveralCalls;
  }
}

/** `choices[].delta` of one event. */
export function deltaOf({ createCallId }: ChatOutput, event: OutputEvent): object {
  switch (event.kind) {
    case 'content':
      return { content: event.text };
    case 'reasoning':
      return { reasoning: event.text };
    case 'call': {
      const called = { name: event.name, arguments: '' };
      return {
        tool_calls: [{ index: event.index, id: createCallId(), type: 'function', function: called }],
      };
    }
    case 'arguments':
      return { tool_calls: [{ index: event.index, function: { arguments: event.text } }] };
  }
}

/** `choices[].message` of all events. */
export function chatMessage({ createCallId, hasReasoning }: ChatOutput, events: readonly OutputEvent[]) {
  const text = (kind: OutputEvent['kind']) =>
    events.map((event) => (event.kind === kind && 'text' in event ? event.text : '')).join('');
  const calls = events.flatMap((call) => {
    if (call.kind !== 'call') return [];
    const parts = events.map((part) =>
      part.kind === 'arguments' && part.index === call.index ? part.text : '',
    );
    const called = { name: call.name, arguments: parts.join('') };
    return [{ id: createCallId(), type: 'function', function: called }];
  });
  const content = text('content');
  return {
    role: 'assistant',
    content: content === '' && calls.length > 0 ? null : content,
    refusal: null,
    ...(hasReasoning ? { reasoning: text('reasoning') || null } : {}),
    ...(calls.length > 0 ? { tool_calls: calls } : {}),
  };
}

/** One event for what came in one go. */
function joinNeighbours(events: readonly OutputEvent[]): OutputEvent[] {
  const joined: OutputEvent[] = [];
  for (const event of events) {
    const last = joined.at(-1);
    if (last?.kind === 'content' && event.kind === 'content')
      joined[joined.length - 1] = { ...last, text: last.text + event.text };
    else if (last?.kind === 'reasoning' && event.kind === 'reasoning')
      joined[joined.length - 1] = { ...last, text: last.text + event.text };
    else if (last?.kind === 'arguments' && event.kind === 'arguments' && last.index === event.index)
      joined[joined.length - 1] = { ...last, text: last.text + event.text };
    else joined.push(event);
  }
  return joined;
}
