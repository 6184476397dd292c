import { defaultLimits, FlowControl, type Offer, type Round } from '../../src/flow-control/index.ts';
import type { Operation } from './operations.ts';

const waitingRequests = 10_000;
const tenants = 100;

/** Room for as many as `free` says, whoever they are. */
function createDesk() {
  const pool = { free: 0 };
  const round: Round = {
    hasRoom: () => pool.free > 0,
    hasGainedSince: () => true,
    readyEndpoints: 16,
    ownEndpoints: 16,
  };
  const flow = new FlowControl({
    limits: () => ({ ...defaultLimits, maxQueuedRequests: 2 * waitingRequests }),
    beginRound: () => round,
    clock: () => performance.now(),
    schedule: () => () => undefined,
  });
  const decide = (tokens: number) => (): Offer<number> => {
    const found = { ownMs: tokens * 0.03, tokens, neededTokens: tokens };
    if (pool.free === 0) return { kind: 'no-room', ...found };
    pool.free--;
    return { kind: 'placed', value: tokens, ...found };
  };
  const admit = (call: number, signal: AbortSignal) =>
    flow
      .admit({
        priority: call % 3,
        tenant: `tenant ${call % tenants}`,
        bytes: 4000,
        ttftSloMs: 1e9,
        signal,
        decide: decide(100 + ((call * 7919) % 8000)),
      })
      .catch(() => undefined);
  for (let i = 0; i < waitingRequests; i++) void admit(i, new AbortController().signal);
  return { pool, flow, admit };
}

export const waitingOperations: readonly Operation[] = [
  {
    op: 'admit behind 10,000 that wait, and leave',
    prepare: () => {
      const { admit } = createDesk();
      return (call) => {
        const client = new AbortController();
        void admit(call, client.signal);
        client.abort();
      };
    },
  },
  {
    op: 'place one of 10,000 that wait, and admit one',
    prepare: () => {
      const { admit, flow, pool } = createDesk();
      return (call) => {
        pool.free = 1;
        flow.roomChanged();
        void admit(call, new AbortController().signal);
      };
    },
  },
];
