import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { observeResponse } from '../../src/protocol/observe-response.ts';
import { SseScanner } from '../../src/protocol/sse-scanner.ts';

const sse = 'text/event-stream; charset=utf-8';
const data = (value: unknown) => `data: ${typeof value === 'string' ? value : JSON.stringify(value)}\n\n`;
const delta = (content: string, extra = {}) => ({ choices: [{ index: 0, delta: { content } }], ...extra });
const usage = { prompt_tokens: 12, completion_tokens: 3, prompt_tokens_details: { cached_tokens: 8 } };
const openAiUsage = { promptTokens: 12, completionTokens: 3, cachedTokens: 8 };

/** Pushes the text in pieces, and tells in which piece (from 0) the first token was. */
function observe(contentType: string | undefined, ...pieces: (string | Uint8Array)[]) {
  const observer = observeResponse(contentType);
  const firsts = pieces.map((piece) => observer.push(typeof piece === 'string' ? Buffer.from(piece) : piece));
  observer.end();
  const { hasFirstToken, events, isComplete, errorMessage } = observer;
  return {
    firstAt: firsts.indexOf(true),
    firsts: firsts.filter(Boolean).length,
    hasFirstToken,
    events,
    isComplete,
    usage: observer.usage,
    errorMessage,
  };
}

const chat = [
  data({ choices: [{ index: 0, delta: { role: 'assistant', content: '' } }], usage: null }),
  data(delta('Hel', { usage: null })),
  data(delta('lo "usage": {"prompt_tokens":99}', { usage: null })),
  data({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }], usage: null }),
  data({ choices: [], usage }),
  data('[DONE]'),
];

const messages = [
  `event: message_start\n${data({ type: 'message_start', message: { usage: { input_tokens: 5, cache_read_input_tokens: 7, output_tokens: 1 } } })}`,
  `event: ping\n${data({ type: 'ping' })}`,
  `event: content_block_start\n${data({ type: 'content_block_start', index: 0 })}`,
  `event: content_block_delta\n${data({ type: 'content_block_delta', delta: { type: 'text_delta', text: 'x' } })}`,
  `event: message_delta\n${data({ type: 'message_delta', delta: {}, usage: { output_tokens: 9 } })}`,
  `event: message_stop\n${data({ type: 'message_stop' })}`,
];

const responses = [
  data({ response: { id: 'r', error: null, usage: null }, type: 'response.created' }),
  data({ response: { id: 'r', usage: null }, type: 'response.in_progress' }),
  data({ type: 'response.output_item.added', item: {} }),
  data({ type: 'response.output_text.delta', delta: 'x' }),
  data({
    response: {
      usage: { input_tokens: 12, output_tokens: 3, input_tokens_details: { cached_tokens: 8 } },
    },
    type: 'response.completed',
  }),
];

describe('observeResponse on event streams', () => {
  it('takes the first chat event with content as the first token, not the role', () => {
    expect(observe(sse, ...chat)).toEqual({
      firstAt: 1,
      firsts: 1,
      hasFirstToken: true,
      events: 5,
      isComplete: true,
      usage: openAiUsage,
      errorMessage: undefined,
    });
  });

  it.each([
    ['text of completions', { choices: [{ text: 'a' }] }],
    ['reasoning', { choices: [{ delta: { reasoning_content: 'a' } }] }],
    ['tool calls', { choices: [{ delta: { tool_calls: [{ index: 0 }] } }] }],
    ['an end without content', { choices: [{ delta: {}, finish_reason: 'length' }] }],
  ])('sees a first token in %s', (_, event) => {
    expect(observe(sse, data({ choices: [] }), data(event), data('[DONE]')).firstAt).toBe(1);
  });

  it('takes the second event of an unknown shape as the first token', () => {
    expect(observe(sse, data('hello'), data({ some: 'thing' }), data('more'))).toMatchObject({
      firstAt: 1,
      events: 3,
      isComplete: false,
    });
  });

  it('reads the Anthropic dialect: prompt from message_start, output from message_delta', () => {
    expect(observe(sse, ...messages)).toMatchObject({
      firstAt: 3,
      events: 6,
      isComplete: true,
      usage: { promptTokens: 12, completionTokens: 9, cachedTokens: 7 },
    });
  });

  it('reads the Responses API', () => {
    expect(observe(sse, ...responses)).toMatchObject({ firstAt: 3, isComplete: true, usage: openAiUsage });
  });

  it.each([
    ['OpenAI', data({ error: { message: 'out of memory', code: 500 } }), false],
    ['Anthropic', `event: error\n${data({ type: 'error', error: { message: 'out of memory' } })}`, false],
    ['Responses', data({ response: { error: { message: 'out of memory' } }, type: 'response.failed' }), true],
  ])('notes an error event of %s, before and after the first token', (_, event, isComplete) => {
    expect(observe(sse, event)).toMatchObject({
      hasFirstToken: false,
      errorMessage: 'out of memory',
      isComplete,
    });
    expect(observe(sse, ...chat.slice(0, 3), event)).toMatchObject({
      errorMessage: 'out of memory',
      isComplete,
    });
  });

  it('passes over comments and other fields, and joins data lines', () => {
    const text =
      ': ping\n\nid: 1\nretry: 10\nevent: x\ndata: {"choices":\ndata:[{"text":"a"}]}\n\n:\n\ndata\n\n';
    expect(observe(sse, text)).toMatchObject({ firstAt: 0, events: 1 });
  });

  it('counts an event without its last blank line', () => {
    expect(observe(sse, chat.join('').trimEnd())).toMatchObject({ events: 5, isComplete: true });
  });

  it('gives the same result for every way of cutting the stream, with LF and CRLF', () => {
    const streams = [chat, messages, responses].map((events) => `: hi\n\n${events.join('')}`);
    fc.assert(
      fc.property(
        fc.constantFrom(...streams),
        fc.boolean(),
        fc.array(fc.nat(), { maxLength: 40 }),
        (text, isCrlf, cuts) => {
          const bytes = Buffer.from(isCrlf ? text.replaceAll('\n', '\r\n') : text);
          const { firstAt: _, ...whole } = observe(sse, bytes);
          const { firstAt: __, ...cut } = observe(sse, ...split(bytes, cuts));
          expect(cut).toEqual(whole);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('gives the same results where the chunks of many streams lie in one piece of memory', () => {
    const streams = [chat, messages, responses].map((events) => Buffer.from(events.join('')));
    const memory = Buffer.alloc(8192);
    fc.assert(
      fc.property(
        fc.array(fc.record({ stream: fc.nat(2), bytes: fc.integer({ min: 1, max: 400 }) }), {
          minLength: 20,
          maxLength: 60,
        }),
        fc.nat(30),
        (turns, between) => {
          const observers = streams.map(() => observeResponse(sse));
          const seen = streams.map(() => 0);
          // What is read again and again into the same memory is read whole, as it is where it can be.
          let read: Buffer | undefined;
          let at = 0;
          for (const { stream, bytes } of turns) {
            const text = streams[stream]!.subarray(seen[stream]!, seen[stream]! + bytes);
            if (read === undefined || at + between + text.length > read.length) {
              read = Buffer.alloc(8192, 0x67);
              at = 1;
            }
            at += between;
            at += text.copy(read, at);
            observers[stream]!.push(read, at - text.length, at);
            seen[stream]! += text.length;
          }
          for (const [stream, observer] of observers.entries()) {
            const rest = streams[stream]!.subarray(seen[stream]!);
            observer.push(memory.fill(0).subarray(0, rest.copy(memory)));
            observer.end();
            const { events, isComplete, hasFirstToken } = observer;
            const whole = observe(sse, streams[stream]!);
            expect({ events, isComplete, hasFirstToken, usage: observer.usage }).toEqual({
              events: whole.events,
              isComplete: whole.isComplete,
              hasFirstToken: whole.hasFirstToken,
              usage: whole.usage,
            });
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  it('reads usage in memory that has held another chunk before', () => {
    const observer = observeResponse(sse);
    const memory = Buffer.alloc(200);
    for (const event of [data(delta('x')), data({ choices: [], usage }), data('[DONE]')])
      observer.push(memory.fill(' ').subarray(0), 0, memory.write(event));
    observer.end();
    expect(observer.usage).toEqual(openAiUsage);
  });

  it('gives the same result byte by byte', () => {
    const bytes = Buffer.from(chat.join('').replaceAll('\n', '\r\n'));
    expect(observe(sse, ...[...bytes].map((byte) => Uint8Array.of(byte)))).toMatchObject({
      firsts: 1,
      events: 5,
      isComplete: true,
      usage: openAiUsage,
    });
  });

  it('counts events beyond the limit without keeping them, and goes on behind them', () => {
    const huge = data(delta('x'.repeat(300_000)));
    expect(observe(sse, huge.slice(0, 1000), huge.slice(1000), ...chat)).toMatchObject({
      firstAt: 1,
      events: 6,
      isComplete: true,
      usage: openAiUsage,
    });
  });
});

describe('SseScanner', () => {
  it('tells the same events for every way of cutting any text, with a limit too', () => {
    const pieces = fc.constantFrom(
      'data: a',
      'data:bcd',
      'data',
      ': x',
      'event: y',
      '\n',
      '\r\n',
      '\n\n',
      'data: 12345678901234567890',
    );
    fc.assert(
      fc.property(
        fc.array(pieces, { maxLength: 20 }),
        fc.array(fc.nat(), { maxLength: 12 }),
        (parts, cuts) => {
          const bytes = Buffer.from(parts.join(''));
          expect(scanned(split(bytes, cuts))).toEqual(scanned([bytes]));
        },
      ),
      { numRuns: 2000 },
    );
  });
});

function scanned(chunks: readonly Buffer[]): string[] {
  const events: string[] = [];
  const scanner = new SseScanner(
    {
      onData: (bytes, start, end) => events.push(bytes.toString('utf8', start, end)),
      onOversized: () => events.push('oversized'),
    },
    20,
  );
  for (const chunk of chunks) scanner.push(chunk);
  scanner.end();
  return events;
}

function split(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  return [...places, bytes.length].map((place, index) => bytes.subarray(places[index - 1] ?? 0, place));
}

describe('observeResponse on JSON bodies', () => {
  const body = { id: 'x', choices: [{ message: { content: 'a "usage": {"prompt_tokens": 1}' } }], usage };

  it('reads usage at the end, however the body was cut, and sees no token before', () => {
    const bytes = Buffer.from(JSON.stringify(body, null, 2));
    fc.assert(
      fc.property(fc.array(fc.nat(), { maxLength: 10 }), (cuts) => {
        expect(observe('application/json', ...split(bytes, cuts))).toEqual({
          firstAt: -1,
          firsts: 0,
          hasFirstToken: false,
          events: 0,
          isComplete: true,
          usage: openAiUsage,
          errorMessage: undefined,
        });
      }),
    );
  });

  it('reads usage from the tail of a body that is too long to keep', () => {
    const long = { choices: [{ text: 'y'.repeat(500_000) }], usage, kv_transfer_params: null };
    const bytes = Buffer.from(JSON.stringify(long));
    const chunks = Array.from({ length: 50 }, (_, index) =>
      bytes.subarray(index * 12_000, (index + 1) * 12_000),
    );
    expect(observe('application/json', ...chunks)).toMatchObject({ isComplete: true, usage: openAiUsage });
  });

  it('knows no usage of a broken body', () => {
    expect(observe('application/json', '{"usage":{"prompt_tokens":1}')).toMatchObject({
      isComplete: false,
      usage: undefined,
    });
    expect(observe('application/json')).toMatchObject({ isComplete: false });
  });

  it('lets other types pass', () => {
    expect(observe('audio/wav', 'data: x\n\n')).toMatchObject({ events: 0, hasFirstToken: false });
    expect(observe(undefined, '{}')).toMatchObject({ events: 0, usage: undefined });
  });
});
