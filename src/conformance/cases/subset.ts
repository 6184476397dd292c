import type { ConformanceCase } from '../conformance-case.ts';
import { effectiveDestination } from '../destination.ts';
import { type Dialect, dialects } from '../dialects.ts';
import { chatBody, get, type HttpRequest, post } from '../http-shapes.ts';
import { type Level, require } from '../outcome.ts';
import type { Session } from '../session.ts';
import type { MetadataValue } from '../wire/processing-request.ts';

/** Data planes that can be set up to pass a hint on. */
const hinting: readonly Dialect[] = [dialects.duplex, dialects.buffered, dialects.streamed, dialects.none];
/** TEST-NET-3: in no pool. */
const nowhere = '203.0.113.9:8000';
/** Of no endpoint. */
const portNowhere = 1;
const rounds = 4;

interface Spelling {
  readonly id: string;
  readonly title: string;
  readonly level: Level;
  readonly of: (address: string) => MetadataValue;
}

/** Spellings that are accepted by the lightweight picker of the protocol's own project. */
const spellings: readonly Spelling[] = [
  { id: 'list', title: 'a list of ip:port', level: 'MUST', of: (address) => [address] },
  {
    id: 'longer-list',
    title: 'a list with unknown entries',
    level: 'MUST',
    of: (address) => [nowhere, address],
  },
  { id: 'comma', title: 'a comma string', level: 'SHOULD', of: (address) => `${nowhere},${address}` },
  {
    id: 'comma-list',
    title: 'a list of comma strings with spaces',
    level: 'SHOULD',
    of: (address) => [` ${nowhere} , ${address} `, ''],
  },
  {
    id: 'ipv6',
    title: 'a list with IPv6 addresses',
    level: 'MUST',
    of: (address) => ['[2001:db8::8000]:8000', '2001:db8::1', address],
  },
  { id: 'host', title: 'an ip for all its ports', level: 'SHOULD', of: (address) => [hostOf(address)] },
];

const refused: readonly (Omit<Spelling, 'of'> & { readonly subset: MetadataValue })[] = [
  { id: 'empty', title: 'an empty list', level: 'MUST', subset: [] },
  { id: 'unknown', title: 'a list without an endpoint of the pool', level: 'MUST', subset: [nowhere] },
  { id: 'empty-string', title: 'an empty string', level: 'SHOULD', subset: '' },
];

/** Clauses 3 and 4: the data plane allows only some endpoints. */
export const subsetCases: readonly ConformanceCase[] = [
  ...spellings.map(
    ({ id, title, level, of }): ConformanceCase => ({
      id: `subset-${id}`,
      clause: '4',
      title: `4: picks only from the subset, given as ${title}`,
      level,
      dialects: hinting,
      run: async (session, dialect) =>
        onlyFromSubset(session, dialect, (address) => chatWith(session, of(address))),
    }),
  ),
  ...refused.map(
    ({ id, title, level, subset }): ConformanceCase => ({
      id: `subset-${id}`,
      clause: '4',
      title: `4: a subset that is ${title} is an ImmediateResponse 503`,
      level,
      dialects: hinting,
      run: async (session, dialect) => refused503(session, dialect, () => chatWith(session, subset)),
    }),
  ),
  {
    id: 'subset-port',
    clause: '4',
    title: '4: heeds the port: another port of an endpoint is an ImmediateResponse 503',
    level: 'MUST',
    dialects: hinting,
    run: async (session, dialect) =>
      refused503(session, dialect, (address) => chatWith(session, [`${hostOf(address)}:${portNowhere}`])),
  },
  {
    id: 'subset-get-empty',
    clause: '4',
    title: '4: an empty subset of a request without a body is an ImmediateResponse 503',
    level: 'MUST',
    dialects: hinting,
    run: async (session, dialect) => refused503(session, dialect, () => get('/v1/models', { subset: [] })),
  },
  {
    id: 'subset-get',
    clause: '4',
    title: '4: heeds the subset of a request without a body',
    level: 'MUST',
    dialects: hinting,
    run: async (session, dialect) =>
      onlyFromSubset(session, dialect, (address) => get('/v1/models', { subset: [address] })),
  },
];

/** `requestFor` is given an address of the pool. */
async function refused503(
  session: Session,
  dialect: Dialect,
  requestFor: (address: string) => HttpRequest,
): Promise<string> {
  const [address = ''] = session.requirePool();
  const exchange = await session.ask(dialect, requestFor(address));
  require(exchange.immediate?.status === 503, 'ImmediateResponse 503', exchange.describe());
  return 'ImmediateResponse 503';
}

async function onlyFromSubset(
  session: Session,
  dialect: Dialect,
  requestFor: (address: string) => HttpRequest,
): Promise<string> {
  const seen = session.requirePool();
  for (let round = 0; round < rounds; round++) {
    // Each address twice, so that a picker which takes turns cannot be right by chance.
    const address = seen[(round >> 1) % seen.length]!;
    const exchange = (await session.ask(dialect, requestFor(address))).requirePicked();
    const picked = effectiveDestination(exchange, {}) ?? 'no destination';
    // An ip without a port allows all its ports.
    const isAllowed = picked.split(',').every((each) => hostOf(each) === hostOf(address));
    require(isAllowed, address, picked);
  }
  return `${rounds} of ${rounds} picks`;
}

function chatWith(session: Session, subset: MetadataValue): HttpRequest {
  return post(chatBody(session.options.model), { subset });
}

function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(':'));
}
