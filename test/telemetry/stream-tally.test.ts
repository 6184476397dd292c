import { expect, it } from 'vitest';
import { createMetrics, createStreamTally } from '../../src/telemetry/index.ts';

it('streams that other processes tally are counted as if they had been here', async () => {
  const here = createMetrics({ snapshot: () => [], version: '1' });
  const sum = createMetrics({ snapshot: () => [], version: '1' });
  const tallies = [createStreamTally(), createStreamTally()];
  const play = (streams: (typeof tallies)[number], ms: number) => {
    streams.opened();
    streams.opened();
    streams.phase('gathering', ms);
    streams.decided(3 * ms);
    streams.responded(ms / 10);
    streams.refused('invalid_json');
    streams.closed('OK', 1000 * ms);
  };
  for (const [at, tally] of tallies.entries()) {
    for (const ms of [0.1, 7, 300]) {
      play(tally, ms + at);
      play(here.streams, ms + at);
      // Over any number of reports.
      sum.streams.add(JSON.parse(JSON.stringify(tally.take())));
    }
  }
  const streamLines = async ({ text }: typeof here) =>
    (await text()).body
      .split('\n')
      .filter((line) => /extproc|ext_proc|processing|rejections|error_total/.test(line));
  expect(await streamLines(sum)).toEqual(await streamLines(here));
  expect((await streamLines(sum)).join('\n')).toContain('llm_d_epp_extproc_streams_inflight 6');
  for (const tally of tallies) expect(tally.take()).toBeUndefined();
});

it('a report of nothing but refusals is one', () => {
  const tally = createStreamTally();
  tally.refused('invalid_json');
  expect(tally.take()?.refused).toEqual([['invalid_json', 1]]);
});
