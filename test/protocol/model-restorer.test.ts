import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { restoreModel } from '../../src/protocol/model-restorer.ts';

const names = { clientModel: 'gpt-4o', model: 'llama-3.1-8b' };
const sse = 'text/event-stream; charset=utf-8';
const json = 'application/json';

/** The response after it went through in these chunks. */
function restored(type: string, text: string, cuts: readonly number[] = [], given = names): string {
  const restorer = restoreModel(given, type, undefined);
  if (restorer === undefined) return text;
  const bytes = Buffer.from(text);
  const places = [0, ...[...cuts].map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  const out = places.slice(1).map((end, index) => restorer.push(bytes.subarray(places[index], end)));
  return Buffer.concat([...out, restorer.end()]).toString();
}

const content = 'say \\"model\\":\\"llama-3.1-8b\\" {"model":"llama-3.1-8b"} \\u00e9 \\\\';
const text = JSON.stringify({ content });

describe('restoring the name of a model', () => {
  it.each([
    [
      '{"id":1,"model":"llama-3.1-8b","n":9007199254740993}',
      '{"id":1,"model":"gpt-4o","n":9007199254740993}',
    ],
    ['{ "model" :\t"llama-3.1-8b" }\n', '{ "model" :\t"gpt-4o" }\n'],
    ['{"model":"llama-3.1-8b","model":"llama-3.1-8b"}', '{"model":"gpt-4o","model":"gpt-4o"}'],
    ['{"model":"llama-3\\u002e1-8b"}', '{"model":"gpt-4o"}'],
    ['{"response":{"id":1,"model":"llama-3.1-8b"}}', '{"response":{"id":1,"model":"gpt-4o"}}'],
    ['{"type":"x","message":{"model":"llama-3.1-8b"}}', '{"type":"x","message":{"model":"gpt-4o"}}'],
  ])('changes %s', (before, after) => {
    expect(restored(json, before)).toBe(after);
  });

  it.each([
    '{"model":"llama-3.1-8b-instruct"}',
    '{"model":"other"}',
    '{"model":["llama-3.1-8b"]}',
    '{"model":{"model":"llama-3.1-8b"}}',
    '{"choices":[{"model":"llama-3.1-8b"}]}',
    '{"choices":{"message":{"model":"llama-3.1-8b"}}}',
    '{"usage":{"model":"llama-3.1-8b"}}',
    '["model","llama-3.1-8b"]',
    '{"a":"model","b":"llama-3.1-8b"}',
    '{"message":["model","llama-3.1-8b"]}',
    '{"model":"llama-3.1',
    '{"model":',
    '"model"',
    '',
    text,
    `{"choices":[{"message":${text}}],"x":${text}}`,
  ])('leaves %s', (body) => {
    expect(restored(json, body)).toBe(body);
    expect(restored(sse, `data: ${body}\n\n`)).toBe(`data: ${body}\n\n`);
  });

  it('changes each event of a stream, and nothing between', () => {
    const event = (model: string) => `data: {"model":"${model}","choices":[{"delta":${text}}]}\n\n`;
    const rest = ': model ping\nevent: model\nid: "model":"llama-3.1-8b"\n\ndata: [DONE]\n\n';
    const split = (model: string) => `data: {"model":\r\ndata: "${model}"}\r\n\r\n`;
    expect(restored(sse, event('llama-3.1-8b') + split('llama-3.1-8b') + event('llama-3.1-8b') + rest)).toBe(
      event('gpt-4o') + split('gpt-4o') + event('gpt-4o') + rest,
    );
  });

  it('finds the next event after a broken one', () => {
    const broken = 'data: {"a":"cut\n\ndata: {"a":[[{\n\n';
    expect(restored(sse, `${broken}data: {"model":"llama-3.1-8b"}\n\n`)).toBe(
      `${broken}data: {"model":"gpt-4o"}\n\n`,
    );
  });

  it.each([
    ['names are equal', { clientModel: 'm', model: 'm' }, json, undefined],
    ['the client named none', { clientModel: undefined, model: 'm' }, json, undefined],
    ['nothing was rewritten', undefined, json, undefined],
    ['the type is another', names, 'text/plain', undefined],
    ['the bytes are compressed', names, json, 'gzip'],
  ])('does nothing when %s', (_, given, type, encoding) => {
    expect(restoreModel(given, type, encoding)).toBeUndefined();
  });

  it('holds back no more than a name that is cut', () => {
    const restorer = restoreModel(names, sse, undefined)!;
    const chunk = Buffer.from('data: {"id":1,"choices":[{"delta":{"content":"mod');
    expect(restorer.push(chunk)).toBe(chunk);
    expect(restorer.push(Buffer.from('el"}}],"model":"lla')).toString()).toBe('el"}}],"model":');
    expect(restorer.push(Buffer.from('ma-3.1-8b"}\n\n')).toString()).toBe('"gpt-4o"}\n\n');
    const long = `data: {"model":"${'x'.repeat(500)}`;
    expect(restorer.push(Buffer.from(long)).toString()).toBe(long);
  });

  it('gives the same bytes however the response is cut', () => {
    const unlucky = fc.constantFrom(
      '"',
      '\\',
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      'model',
      'llama-3.1-8b',
      ' ',
      'é',
    );
    const value = fc.oneof(
      { depthSize: 'small' },
      fc.jsonValue(),
      fc.array(unlucky, { maxLength: 8 }).map((parts) => parts.join('')),
    );
    const keys = fc.constantFrom('model', 'message', 'response', 'x', 'choices');
    const known = fc.record({ model: fc.constantFrom('llama-3.1-8b', 'other') }, { requiredKeys: [] });
    const document = fc.dictionary(keys, fc.oneof(value, known, fc.constant('llama-3.1-8b')), { maxKeys: 4 });
    fc.assert(
      fc.property(
        fc.array(document, { maxLength: 4 }),
        fc.array(fc.nat(), { maxLength: 12 }),
        (all, cuts) => {
          const stream = all.map((each) => `data: ${JSON.stringify(each)}\n\n`).join('');
          const expected = all.map((each) => `data: ${JSON.stringify(renamed(each))}\n\n`).join('');
          expect(restored(sse, stream, cuts)).toBe(expected);
          for (const each of all) {
            expect(restored(json, JSON.stringify(each, null, 1), cuts)).toBe(
              JSON.stringify(renamed(each), null, 1),
            );
          }
        },
      ),
      { numRuns: 500, seed: 3 },
    );
  });
});

/** The same by parsing. */
function renamed(document: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const rename = (value: unknown) => (value === names.model ? names.clientModel : value);
  return Object.fromEntries(
    Object.entries(document).map(([key, value]) => {
      if (key === 'model') return [key, rename(value)];
      const isEnvelope = (key === 'message' || key === 'response') && isObject(value);
      if (!isEnvelope) return [key, value];
      return [
        key,
        Object.fromEntries(
          Object.entries(value).map(([name, inner]) => [name, name === 'model' ? rename(inner) : inner]),
        ),
      ];
    }),
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
