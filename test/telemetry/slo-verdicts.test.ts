import { describe, expect, it } from 'vitest';
import { createMetrics } from '../../src/telemetry/index.ts';
import { sloVerdicts, sloVerdictsOfRejected } from '../../src/telemetry/slo-verdicts.ts';
import { finished, rejected, request } from './finished-request.ts';

/** 40 ms to the first of 11 tokens, and 10 ms for each further one, unless told otherwise. */
const withTargets = (ttftMs: number | undefined, tpotMs?: number) => request({ slo: { ttftMs, tpotMs } });

const told = (verdicts: ReturnType<typeof sloVerdicts>) =>
  verdicts.map(({ target, isMet }) => `${target} ${isMet ? 'met' : 'missed'}`);

describe('the verdict on targets', () => {
  it.each([
    [{ request: withTargets(40, 10) }, ['ttft met', 'tpot met']],
    [{ request: withTargets(39, 9) }, ['ttft missed', 'tpot missed']],
    [{ request: withTargets(undefined, 9) }, ['tpot missed']],
    [{ request: withTargets(undefined) }, []],
    [{ request: { ...withTargets(40, 10), isStreaming: false } }, []],
    [
      { request: withTargets(900, 900), outcome: { kind: 'upstream_failed', reason: 'x' } },
      ['ttft missed', 'tpot missed'],
    ],
    [{ request: withTargets(900), outcome: { kind: 'rejected_by_engine', status: 500 } }, ['ttft missed']],
    [{ request: withTargets(900), outcome: { kind: 'rejected_by_engine', status: 400 } }, []],
    [{ request: withTargets(900), outcome: { kind: 'client_aborted' } }, ['ttft met']],
    [{ request: withTargets(900), outcome: { kind: 'client_aborted' }, ttftMs: undefined }, []],
    [{ request: withTargets(100), outcome: { kind: 'client_aborted' }, ttftMs: undefined }, ['ttft missed']],
  ] as const)('%#: %j', (given, expected) => {
    expect(told(sloVerdicts(finished(given)))).toEqual(expected);
  });

  it.each([
    ['overloaded', ['ttft missed']],
    ['queue_timeout', ['ttft missed']],
    ['model_not_found', []],
    ['client_closed', []],
  ])('of a request refused with %s is %j', (code, expected) => {
    expect(told(sloVerdictsOfRejected(rejected({ code, request: withTargets(50) })))).toEqual(expected);
  });

  it('is missed when the client left the line after its target', () => {
    const left = rejected({ code: 'client_closed', request: withTargets(50), waitedMs: 51 });
    expect(told(sloVerdictsOfRejected(left))).toEqual(['ttft missed']);
  });

  it('is counted by model, tenant and priority', async () => {
    const metrics = createMetrics({ snapshot: () => [], version: '1' });
    metrics.observer.onFinished(finished({ request: withTargets(40, 9) }));
    metrics.observer.onRejected(rejected({ code: 'overloaded', request: withTargets(50) }));
    const { body } = await metrics.text();
    const labels = 'model_name="mini",target_model_name="mini",fairness_id="default-flow",priority="0"';
    for (const [rest, count] of [
      ['target="ttft",result="met"', 1],
      ['target="ttft",result="missed"', 1],
      ['target="tpot",result="missed"', 1],
    ])
      expect(body).toContain(`pointsman_slo_requests_total{${labels},${rest}} ${count}`);
  });
});
