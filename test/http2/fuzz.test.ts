import { expect, it } from 'vitest';
import { fuzzHttp2 } from '../../bench/fuzz/fuzz-http2.ts';

it('5,000 mutated byte streams end as they may, and leave nothing behind', { timeout: 120_000 }, async () => {
  const timersBefore = timers();
  const { outcomes, failures } = await fuzzHttp2({ seed: 1, from: 0, to: 5_000 });
  expect(failures).toEqual([]);
  expect(timers()).toBeLessThanOrEqual(timersBefore);
  // The mutations reach far enough to be of use: every error that a peer can cause is among the ends.
  const errors = ['ProtocolError', 'FlowControlError', 'StreamClosed', 'FrameSizeError', 'CompressionError'];
  expect([...outcomes.keys()]).toEqual(
    expect.arrayContaining(['open', 'closed', 'EnhanceYourCalm', 'SettingsTimeout', ...errors]),
  );
});

const timers = () => process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length;
