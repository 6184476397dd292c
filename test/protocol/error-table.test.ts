import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { immediateResponse } from '../../src/ext-proc/immediate-response.ts';
import { errorBody, errorHeaders } from '../../src/protocol/error-dialects.ts';
import { type ErrorCode, errorKinds, ServiceError } from '../../src/protocol/errors.ts';

const readme = readFileSync(join(import.meta.dirname, '..', '..', 'README.md'), 'utf8');
const [, section = ''] = /\n## Errors\n([\s\S]+?)\n## /.exec(readme) ?? [];

/** Rows of the table by code: status, OpenAI type, Anthropic type, dropped reason, Retry-After. */
const rows = new Map(
  [...section.matchAll(/^\| `(\w+)`\s*\|(.+)\|$/gm)].map(([, code, rest]) => [
    code!,
    rest!
      .split('|')
      .slice(1)
      .map((cell) => cell.trim().replaceAll('`', '')),
  ]),
);
const codes = Object.keys(errorKinds) as ErrorCode[];

function told(code: ErrorCode): string[] {
  const error = new ServiceError(code, 'Why.');
  const headers = errorHeaders(error);
  const openAi = JSON.parse(errorBody('openai', error)) as { error: { type: string; code: string } };
  const anthropic = JSON.parse(errorBody('anthropic', error)) as { error: { type: string } };
  expect(openAi.error.code).toBe(code);
  return [
    String(error.kind.status),
    openAi.error.type,
    anthropic.error.type,
    headers['x-llm-d-request-dropped-reason'] ?? '',
    headers['retry-after'] ?? '',
  ];
}

describe('the table of errors in the README', () => {
  it('has a row for each code and no other', () => {
    expect([...rows.keys()]).toEqual(codes);
  });

  it.each(codes)('tells of %s what is answered', (code) => {
    expect(rows.get(code)).toEqual(told(code));
  });
});

it.each([
  ['openai', { error: { message: 'Why.', type: 'rate_limit_error', param: null, code: 'overloaded' } }],
  ['anthropic', { type: 'error', error: { type: 'rate_limit_error', message: 'Why.' } }],
] as const)('an immediate response speaks %s', (dialect, body) => {
  const reply = immediateResponse(
    new ServiceError('overloaded', 'Why.', { retryAfterSeconds: 2.2 }),
    dialect,
  );
  if (reply.kind !== 'immediate') throw new Error('expected an immediate response');
  expect(JSON.parse(Buffer.from(reply.body).toString())).toEqual(body);
  expect(Object.fromEntries(reply.headers.set)).toEqual({
    'content-type': 'application/json',
    'retry-after': '3',
    'x-llm-d-request-dropped-reason': 'rejected-saturated',
  });
});
