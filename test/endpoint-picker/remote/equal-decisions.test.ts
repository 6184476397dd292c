import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Outcome, Placement, RequestPlacer } from '../../../src/endpoint-picker/assignment.ts';
import type { DecisionRecord } from '../../../src/endpoint-picker/decision-record.ts';
import type { FlowControlSettings } from '../../../src/endpoint-picker/late-binding.ts';
import { defaultRoomRule } from '../../../src/endpoint-picker/room-rule.ts';
import { defaultLimits } from '../../../src/flow-control/index.ts';
import type { InferenceRequest } from '../../../src/scheduling/inference-request.ts';
import { makeRequest } from '../../scheduling/support.ts';
import { createFleet, promptOf } from '../support.ts';
import { linkTo } from './linked.ts';

type Step =
  | {
      readonly kind: 'submit';
      readonly request: Partial<InferenceRequest>;
      readonly subset?: readonly string[] | undefined;
    }
  | { readonly kind: 'firstToken' | 'piece'; readonly at: number }
  | { readonly kind: 'finish'; readonly at: number; readonly outcome: Outcome }
  | {
      readonly kind: 'servedBy';
      readonly at: number;
      readonly address: string;
      readonly passedOver: readonly string[];
    }
  | { readonly kind: 'giveUp'; readonly at: number }
  | { readonly kind: 'wait'; readonly ms: number };

const addresses = ['10.0.0.1:8000', '10.0.0.2:8000', '10.0.0.3:8000', '10.9.9.9:8000'];
const address = fc.constantFrom(...addresses);
const at = fc.nat(15);
const text = fc.string({ unit: 'grapheme', maxLength: 30 });

const request: fc.Arbitrary<Partial<InferenceRequest>> = fc
  .record({
    prompt: fc.constantFrom('a', 'b', 'ab').chain((unit) => fc.nat(3000).map((count) => unit.repeat(count))),
    priority: fc.integer({ min: -3, max: 3 }),
    tenant: text,
    headers: fc.dictionary(text, text).map((entries) => new Map(Object.entries(entries))),
    isStreaming: fc.boolean(),
    ttftMs: fc.option(fc.double({ min: 1, max: 5000, noNaN: true }), { nil: undefined }),
    model: fc.constantFrom(undefined, 'm', 'modèle'),
    bodyBytes: fc.nat(),
  })
  .map(({ prompt, ttftMs, ...rest }) => ({
    ...rest,
    ...promptOf(prompt),
    slo: { ttftMs, tpotMs: undefined },
  }));

const outcome: fc.Arbitrary<Outcome> = fc.oneof(
  fc.record({
    kind: fc.constant('completed' as const),
    status: fc.constantFrom(200, 201),
    usage: fc.option(
      fc.record({
        promptTokens: fc.option(fc.nat(), { nil: undefined }),
        completionTokens: fc.option(fc.nat(500), { nil: undefined }),
        cachedTokens: fc.option(fc.nat(), { nil: undefined }),
      }),
      { nil: undefined },
    ),
  }),
  fc.record({
    kind: fc.constant('rejected_by_engine' as const),
    status: fc.constantFrom(400, 429, 500, 503),
  }),
  fc.record({ kind: fc.constantFrom('client_aborted' as const, 'cut_at_shutdown' as const) }),
  fc.record({ kind: fc.constantFrom('connect_failed' as const, 'upstream_failed' as const), reason: text }),
);

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('submit' as const),
      request,
      subset: fc.option(fc.array(address), { nil: undefined, freq: 5 }),
    }),
  },
  fc.record({ kind: fc.constantFrom('firstToken' as const, 'piece' as const), at }),
  fc.record({ kind: fc.constant('finish' as const), at, outcome }),
  fc.record({
    kind: fc.constant('servedBy' as const),
    at,
    address,
    passedOver: fc.array(address, { maxLength: 2 }),
  }),
  fc.record({ kind: fc.constant('giveUp' as const), at }),
  fc.record({ kind: fc.constant('wait' as const), ms: fc.nat(2000) }),
);

/** One seat per endpoint, so that requests wait. */
const narrow: FlowControlSettings = {
  limits: () => ({ ...defaultLimits, maxQueuedRequests: 3 }),
  room: () => ({ ...defaultRoomRule, roomMs: 1 }),
  schedule: () => () => {},
};

/** Plays the steps on a fleet of its own and tells all that it decided and saw. */
async function play(steps: readonly Step[], hasFlowControl: boolean, isRemote: boolean, pieceBytes: number) {
  const decisions: DecisionRecord[] = [];
  const fleet = createFleet({
    endpoints: 3,
    onDecision: (record) => decisions.push(record),
    ...(hasFlowControl ? { flowControl: narrow } : {}),
  });
  const link = linkTo(fleet.picker, { fallbacks: 2, pieceBytes });
  const placer: RequestPlacer = isRemote ? link.placer : fleet.picker;
  const requests: {
    placement?: Placement;
    error?: string;
    destinations?: readonly string[];
    readonly aborter: AbortController;
  }[] = [];
  for (const each of steps) {
    if (each.kind === 'wait') fleet.clock.nowMs += each.ms;
    else if (each.kind === 'submit') {
      const own: (typeof requests)[number] = { aborter: new AbortController() };
      requests.push(own);
      placer.submit(
        makeRequest({ ...each.request, id: `request-${requests.length}` }),
        { subset: each.subset, signal: own.aborter.signal },
        {
          placed: (placement) => {
            own.placement = placement;
            own.destinations = [
              placement.endpoint.name,
              placement.endpoint.address,
              ...placement.alternatives(2),
            ];
          },
          refused: (error) => {
            own.error = String(error);
          },
        },
      );
    } else {
      const own = requests[each.at];
      if (each.kind === 'giveUp') own?.aborter.abort();
      else if (each.kind === 'firstToken') own?.placement?.firstToken();
      else if (each.kind === 'piece') own?.placement?.passed(100);
      else if (each.kind === 'finish') own?.placement?.finish(each.outcome);
      else if (each.kind === 'servedBy') own?.placement?.servedBy(each.address, each.passedOver);
    }
    if (isRemote) await link.settled();
    fleet.picker.checkIntegrity();
  }
  const seen = requests.map(({ destinations, error }) => ({ destinations, error }));
  for (const { placement, aborter } of requests) {
    aborter.abort();
    placement?.finish({ kind: 'client_aborted' });
    if (isRemote) await link.settled();
  }
  expect(link.errors).toEqual([]);
  return {
    seen,
    decisions: decisions.map(({ timeMs: _, request: decided, ...rest }) => ({
      ...rest,
      request: plain(decided),
    })),
    finished: fleet.finished.map(({ request: ended, ...rest }) => ({ ...rest, request: plain(ended) })),
    rejected: fleet.rejected,
    open: [
      fleet.picker.openAssignments,
      fleet.picker.waitingRequests,
      link.host.openRequests,
      link.placer.openRequests,
    ],
  };
}

function plain({ headers, ...rest }: InferenceRequest) {
  return { ...rest, headers: [...headers] };
}

describe('a picker at the other end of a link', () => {
  it.each([false, true])(
    'decides as one in the same process, with flow control: %s',
    async (hasFlowControl) => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(step, { maxLength: 30 }),
          fc.constantFrom(1, 7, 100_000),
          async (steps, pieceBytes) => {
            const local = await play(steps, hasFlowControl, false, pieceBytes);
            const remote = await play(steps, hasFlowControl, true, pieceBytes);
            expect(remote).toEqual(local);
            expect(remote.open).toEqual([0, 0, 0, 0]);
          },
        ),
        { numRuns: 150 },
      );
    },
    60_000,
  );
});
