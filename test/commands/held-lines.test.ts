import { expect, it } from 'vitest';
import { holdLines } from '../../src/commands/held-lines.ts';
import { createLog } from '../../src/telemetry/index.ts';

it('lines of the log wait until they are let go, then go at once, in order', () => {
  const written: string[] = [];
  const lines = holdLines({ write: (text) => written.push(text) });
  const log = createLog({ level: 'info', format: 'json', stream: lines });
  const listeners = process.listenerCount('exit');
  log.info({}, 'first');
  log.info({}, 'second');
  expect(written).toEqual([]);
  lines.release();
  log.info({}, 'third');
  lines.release();
  expect(written.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual([
    'first',
    'second',
    'third',
  ]);
  expect(process.listenerCount('exit')).toBe(listeners - 1);
});
