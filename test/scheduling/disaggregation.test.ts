import { describe, expect, it } from 'vitest';
import { Disaggregation, defaultDisaggregation } from '../../src/scheduling/disaggregation.ts';
import type { EndpointLearned } from '../../src/scheduling/index.ts';
import { makeContext, makeEndpoint } from './support.ts';

interface Case {
  readonly promptTokens?: number;
  readonly cachedAtDecode?: number;
  readonly decode?: Partial<EndpointLearned>;
  readonly prefill?: Partial<EndpointLearned>;
  readonly decoding?: number;
  readonly pendingTransferMs?: number;
}

function question({ promptTokens = 8000, cachedAtDecode = 0, decoding = 0, ...rest }: Case = {}) {
  const decode = makeEndpoint({ slot: 0, learned: rest.decode ?? {}, inFlight: { requests: decoding } });
  const prefill = makeEndpoint({ slot: 1, learned: rest.prefill ?? {} });
  const context = makeContext({ request: { promptTokens }, cached: [cachedAtDecode, 0] });
  return {
    context,
    decode,
    prefill,
    decodePool: [decode],
    prefillPool: [prefill],
    pendingTransferMs: rest.pendingTransferMs ?? 0,
  };
}

describe('the choice between local and remote prefill', () => {
  const decide = (each?: Case) => new Disaggregation().decide(question(each));

  it('stays local on an idle fleet, where the transfer is only an extra', () => {
    const { isRemote, localMs, remoteMs } = decide();
    expect(isRemote).toBe(false);
    expect(remoteMs - localMs).toBeCloseTo(1 + 0.003 * 8000);
  });

  it.each([
    ['prefills wait at the decode engine', { decode: { pendingPrefillMs: 400 } }],
    ['many sequences decode there', { decoding: 60 }],
  ] as const)('splits when %s', (_what, each) => {
    expect(decide(each).isRemote).toBe(true);
  });

  it.each([
    ['the prompt is cached there', { cachedAtDecode: 7900 }],
    ['prefills wait at the prefill engine too', { prefill: { pendingPrefillMs: 500 } }],
    ['transfers wait', { pendingTransferMs: 900 }],
    ['the prompt is so short that the transfer is most of it', { promptTokens: 20 }],
  ] as const)('stays local when %s', (_what, each) => {
    expect(decide({ decode: { pendingPrefillMs: 400 }, ...each }).isRemote).toBe(false);
  });

  it('takes remote requests that are late as a reason against remote, by class, until they are in time again', () => {
    const disaggregation = new Disaggregation({ ...defaultDisaggregation, allowedMisses: 0.5 });
    const busy = question({ decode: { pendingPrefillMs: 400 } });
    for (let i = 0; i < 200; i++) disaggregation.cameRemotely(0, true);
    expect(disaggregation.decide(busy).isRemote).toBe(false);
    const urgent = { ...busy.context, request: { ...busy.context.request, priority: 1 } };
    expect(disaggregation.decide({ ...busy, context: urgent }).isRemote).toBe(true);
    for (let i = 0; i < 200; i++) disaggregation.cameRemotely(0, false);
    expect(disaggregation.decide(busy).isRemote).toBe(true);
  });

  it('names a parameter that makes no sense', () => {
    expect(() => new Disaggregation({ ...defaultDisaggregation, setupMs: -1 })).toThrow('setupMs is -1');
  });
});
