import type { ConformanceCase } from '../conformance-case.ts';
import { type Dialect, dialects, duplexDialects } from '../dialects.ts';
import type { Exchange } from '../exchange.ts';
import { NotJudged, require, Unmet } from '../outcome.ts';
import type { Session } from '../session.ts';
import type { ImmediateReply } from '../wire/processing-response.ts';
import { requireAlive } from './requirements.ts';

const droppedReason = 'x-llm-d-request-dropped-reason';
/** Requests that are left open, at most: more than a picker that was set up to shed lets through. */
const mostOpen = 64;
/** How long one of them is waited for before the next is sent; those that wait in a line say nothing. */
const patienceMs = 50;

/**
 * Clause 9: requests that no endpoint has room for. The endpoints tell that they are full, and requests are opened,
 * without answers, until one is refused. Only judged where the operator says that the picker is set up for it.
 */
export const sheddingCases: readonly ConformanceCase[] = [
  {
    id: 'shed',
    clause: '9',
    title: '9: a request that is shed is an ImmediateResponse 429',
    level: 'MUST',
    dialects: duplexDialects,
    run: async (session, dialect) =>
      whileFull(session, dialect, ({ status }) => {
        require(status === 429, 'ImmediateResponse 429', `ImmediateResponse ${status}`);
        return String(status);
      }),
  },
  {
    id: 'shed-headers',
    clause: '9',
    title: `9: who is shed is told when to come again, by Retry-After, and why, by ${droppedReason}`,
    level: 'SHOULD',
    dialects: [dialects.duplex, dialects.agentgateway],
    run: async (session, dialect) =>
      whileFull(session, dialect, (refusal) => {
        const seconds = headerOf(refusal, 'retry-after');
        require(/^[1-9]\d*$/.test(seconds ?? ''), 'Retry-After in seconds', seconds ?? 'none');
        const reason = headerOf(refusal, droppedReason);
        require(/^[a-z-]+$/.test(reason ?? ''), droppedReason, reason ?? 'none');
        return `Retry-After ${seconds}, ${reason}`;
      }),
  },
  {
    id: 'shed-over',
    clause: '9',
    title: '9: when the others have left, requests are picked for again',
    level: 'MUST',
    dialects: [dialects.duplex],
    async run(session, dialect) {
      await whileFull(session, dialect, () => '');
      return requireAlive(session);
    },
  },
];

async function whileFull(
  session: Session,
  dialect: Dialect,
  judge: (refusal: ImmediateReply) => string,
): Promise<string> {
  const { sheds, backends } = session.options;
  if (sheds === undefined) {
    throw new NotJudged('only its operator can set a picker up to turn requests away; say --sheds if it is');
  }
  session.requirePool();
  const open: Exchange[] = [];
  backends.tellFull(true);
  try {
    const headers: Record<string, string> = sheds === '' ? {} : { 'x-llm-d-inference-objective': sheds };
    while (open.length < mostOpen) {
      const exchange = session.startOn(await session.shared(), dialect, patienceMs);
      open.push(exchange);
      const { immediate } = await exchange.request(session.chat({ headers }));
      if (immediate !== undefined) return judge(immediate);
    }
    // A slow picker refuses after the patience with each has ended, and a just one those that waited before.
    for (const event of await Promise.all(open.map(({ call }) => call.nextReply(patienceMs)))) {
      if (event.kind === 'reply' && event.reply.kind === 'immediate') return judge(event.reply);
    }
    throw new Unmet(`a refusal among ${mostOpen} requests without answers`, 'none');
  } finally {
    backends.tellFull(false);
    for (const exchange of open) exchange.cancel();
  }
}

function headerOf({ mutation }: ImmediateReply, name: string): string | undefined {
  return mutation.set.find((header) => header.name.toLowerCase() === name)?.rawValue;
}
