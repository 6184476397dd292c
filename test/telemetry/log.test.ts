import { describe, expect, it } from 'vitest';
import { ServiceError } from '../../src/protocol/errors.ts';
import { createLog, type LogFormat, type LogLevel, requestLog } from '../../src/telemetry/index.ts';
import { finished, record, rejected, request } from './finished-request.ts';

function logInto(options: { level?: LogLevel; format?: LogFormat } = {}) {
  const lines: string[] = [];
  const log = createLog({
    level: 'debug',
    format: 'json',
    ...options,
    stream: { write: (text) => lines.push(text) },
  });
  return { log, lines };
}

describe('the log', () => {
  it('writes JSON with level, time, fields and message', () => {
    const { log, lines } = logInto();
    log.info({ port: 1 }, 'listening');
    expect(JSON.parse(lines[0]!)).toEqual({
      level: 'info',
      time: expect.any(String),
      port: 1,
      msg: 'listening',
    });
  });

  it('leaves out what is below its level', () => {
    const { log, lines } = logInto({ level: 'warn' });
    log.info({}, 'a');
    log.warn({}, 'b');
    expect(lines).toHaveLength(1);
  });

  it('writes short lines for people, errors with their stack', () => {
    const { log, lines } = logInto({ format: 'pretty' });
    log.warn({ pod: 'engine-1', text: 'two words', ms: 1.23456 }, 'slow');
    expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d warn {2}slow {2}pod=engine-1 text="two words" ms=1.23\n$/);
    log.error({ err: new Error('broken') }, 'failed');
    expect(lines[1]).toMatch(/error failed\n {4}Error: broken\n {8}at /);
  });
});

describe('the request line', () => {
  it('tells a whole request in one line', () => {
    const { log, lines } = logInto();
    requestLog(log).onFinished(
      finished({ retries: 1, queuedMs: 25, request: request({ tenant: 'team', priority: 5 }) }),
    );
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0]!)).toMatchObject({
      level: 'info',
      msg: 'request',
      id: 'request-1',
      clientId: 'client-7',
      model: 'mini',
      tenant: 'team',
      priority: 5,
      endpoint: 'a',
      outcome: 'completed',
      status: 200,
      queuedMs: 25,
      ttftMs: 40,
      durationMs: 140,
      inputTokens: 98,
      outputTokens: 11,
      cachedTokens: 48,
      predictedCachedTokens: 64,
      retries: 1,
    });
  });

  it('never holds headers, keys or bodies', () => {
    const { log, lines } = logInto();
    const observer = requestLog(log);
    observer.onFinished(finished());
    observer.onRejected(rejected());
    expect(lines.join('')).not.toMatch(/secret|Bearer|authorization/);
  });

  it('warns of failed and rejected requests, with the reason', () => {
    const { log, lines } = logInto();
    const observer = requestLog(log);
    observer.onFinished(finished({ outcome: { kind: 'upstream_failed', reason: 'reset' } }));
    observer.onRejected(rejected({ record: record({ ranking: [] }), waitedMs: 12.345 }));
    expect(JSON.parse(lines[0]!)).toMatchObject({ level: 'warn', msg: 'request failed', reason: 'reset' });
    expect(JSON.parse(lines[1]!)).toMatchObject({
      level: 'warn',
      msg: 'request rejected',
      code: 'no_endpoints',
      waitedMs: 12.35,
      considered: 3,
      filters: ['ready removed 1'],
    });
  });

  it.each([
    ['model_not_found', 'info'],
    ['invalid_request', 'info'],
    ['client_closed', 'info'],
    ['overloaded', 'warn'],
    ['queue_timeout', 'warn'],
    ['no_endpoints', 'warn'],
  ] as const)(
    'tells of a request rejected with %s at level %s: faults of clients wake nobody',
    (code, level) => {
      const { log, lines } = logInto();
      const { isFaultOfClient } = new ServiceError(code, 'told');
      requestLog(log).onRejected(rejected({ code, isFaultOfClient }));
      expect(JSON.parse(lines[0]!)).toMatchObject({ level, msg: 'request rejected', code });
    },
  );
});
