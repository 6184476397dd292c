import { expect, it } from 'vitest';
import type { StreamObserver } from '../../src/ext-proc/phase-timer.ts';
import { fakePicker } from './fakes.ts';
import { chatBody, openStream, settle } from './stream-harness.ts';

/** A clock that goes on by itself with each look, and by as much as a test says. */
function steps() {
  let nowMs = 0;
  const wait = (ms: number): void => {
    nowMs += ms;
  };
  return { clock: () => ++nowMs, wait };
}

function openTimed(timesResponse: boolean, picker = fakePicker(['10.0.0.1:8000'])) {
  const { clock, wait } = steps();
  const told = { responded: [] as number[], decided: [] as number[] };
  const observer: StreamObserver = {
    opened() {},
    phase() {},
    refused() {},
    closed() {},
    responded: (ms) => told.responded.push(ms),
    decided: (ms) => told.decided.push(ms),
  };
  const phases = { clock, observer, timesResponse: () => timesResponse };
  const harness = openStream({
    modes: { request: 'FULL_DUPLEX_STREAMED' },
    picker,
    collaborators: { phases },
  });
  harness.headers();
  harness.body(chatBody, true);
  return { ...harness, told, wait };
}

it('the time with a streamed response leaves out the time between its messages', async () => {
  const stream = openTimed(true);
  await settle();
  // Each message takes the ticks between its two looks; the headers begin a phase, which looks once more.
  stream.responseHeaders();
  for (const isLast of [false, false, true]) {
    stream.wait(1000);
    stream.responseBody('data: {}\n\n', isLast);
  }
  stream.stream.onHalfClose();
  expect(stream.told.responded).toEqual([2 + 1 + 1 + 1]);
});

it('the time with a whole response is the interval from its headers to its end', async () => {
  const stream = openTimed(true);
  await settle();
  stream.responseHeaders({ headers: { 'content-type': 'application/json' } });
  stream.wait(1000);
  stream.responseBody('{}', true);
  stream.wait(500);
  stream.stream.onHalfClose();
  expect(stream.told.responded).toHaveLength(1);
  expect(stream.told.responded[0]).toBeGreaterThanOrEqual(1000);
  expect(stream.told.responded[0]).toBeLessThan(1010);
});

it('a response that breaks off is told too, and none where there was none or it is not timed', async () => {
  const broken = openTimed(true);
  const silent = openTimed(true);
  const untimed = openTimed(false);
  await settle();
  for (const stream of [broken, untimed]) stream.responseHeaders();
  for (const { stream } of [broken, silent, untimed]) stream.onCancel();
  expect([broken, silent, untimed].map(({ told }) => told.responded.length)).toEqual([1, 0, 0]);
});

it('a refusal ends the time with a request as a pick does, once', async () => {
  const picked = openTimed(false);
  const refused = openTimed(false, fakePicker([]));
  await settle();
  expect(picked.told.decided).toHaveLength(1);
  expect(refused.told.decided).toHaveLength(1);
  for (const { stream } of [picked, refused]) stream.onCancel();
  expect(picked.told.decided).toHaveLength(1);
});
