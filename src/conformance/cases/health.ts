import { type Call, type CallEvent, describeEnd } from '../client/call.ts';
import type { ConformanceCase } from '../conformance-case.ts';
import { type Level, NotJudged, require, Unmet } from '../outcome.ts';
import type { Session } from '../session.ts';
import { bytesField, type Field, readFields } from '../wire/protobuf.ts';

const checkPath = '/grpc.health.v1.Health/Check';
const watchPath = '/grpc.health.v1.Health/Watch';
const listPath = '/grpc.health.v1.Health/List';
/** How long a Watch is looked at after its first answer. */
const watchedMs = 300;
const leftWatches = 5;
const statusNames = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];
const unimplemented = 12;
const notFound = 5;

const services: readonly (readonly [name: string, level: Level, why: string])[] = [
  ['liveness', 'MUST', ''],
  ['readiness', 'MUST', ''],
  ['envoy.service.ext_proc.v3.ExternalProcessor', 'MUST', ''],
  ['', 'SHOULD', ', which grpc_health_probe asks for'],
  ['inference-extension', 'SHOULD', ', which the conformance manifests probe'],
];

const watched: readonly (readonly [id: string, service: string, title: string, status: string])[] = [
  ['health-watch', 'readiness', 'tells the status at once, and stays open to tell the next', 'SERVING'],
  [
    'health-watch-unknown',
    'no.such.Service',
    'of a service that is not there tells SERVICE_UNKNOWN, and waits for it to come',
    'SERVICE_UNKNOWN',
  ],
];

/** Clause 13, on the port of the service or on the one that `--health` names. */
export const healthCases: readonly ConformanceCase[] = [
  ...services.map(
    ([name, level, why]): ConformanceCase => ({
      id: `health-${name === '' ? 'empty' : name.split('.').at(-1)!.toLowerCase()}`,
      clause: '13',
      title: `13: health answers for "${name}"${why}`,
      level,
      dialects: 'any',
      run: async (session) => {
        const found = await check(session, name);
        require(found.status === 'SERVING', 'SERVING', found.status);
        return found.status;
      },
    }),
  ),
  {
    id: 'health-unknown',
    clause: '13',
    title: '13: health does not know a service that is not there',
    level: 'SHOULD',
    dialects: 'any',
    run: async (session) => {
      const { code, status } = await check(session, 'no.such.Service');
      require(code === notFound, 'gRPC status 5 (NOT_FOUND)', status);
      return status;
    },
  },
  ...watched.map(
    ([id, service, title, status]): ConformanceCase => ({
      id,
      clause: '13',
      title: `13: health Watch ${title}`,
      level: 'SHOULD',
      dialects: 'any',
      run: async (session) => {
        const found = await watch(session, service);
        require(found === `${status}, then open`, `${status}, then open`, found);
        return found;
      },
    }),
  ),
  {
    id: 'health-list',
    clause: '13',
    title: '13: health List names the three services of the protocol, each with the status that Check tells',
    level: 'SHOULD',
    dialects: 'any',
    async run(session) {
      const listed = await list(session);
      for (const [name, level] of services) {
        if (level !== 'MUST') continue;
        const { status } = await check(session, name);
        const found = listed.get(name) ?? 'not listed';
        require(found === status, `${name}: ${status}`, `${name}: ${found}`);
      }
      return `${listed.size} services`;
    },
  },
  {
    id: 'health-watch-left',
    clause: '13',
    title: '13: a health Watch that its client leaves disturbs nobody',
    level: 'SHOULD',
    dialects: 'any',
    async run(session) {
      for (let i = 0; i < leftWatches; i++) await watch(session, 'liveness', 0);
      const { status } = await check(session, 'liveness');
      require(status === 'SERVING', 'SERVING', status);
      return `${leftWatches} watches`;
    },
  },
  {
    id: 'health-readiness',
    clause: '13',
    title: '13: readiness needs a synced leader, liveness does not',
    level: 'MUST',
    dialects: 'any',
    run: async () => {
      throw new NotJudged('a picker cannot be made to lose its lease or its sync from outside');
    },
  },
];

/** Status by name. */
async function list(session: Session): Promise<ReadonlyMap<string, string>> {
  return onHealth(session, listPath, '', async (call) => {
    const event = await call.next(session.timeoutMs);
    if (event.kind !== 'message') {
      const { status, code } = statusOf(session, event);
      if (code === unimplemented) throw new NotJudged('its health service has no List');
      throw new Unmet('a list of services', status);
    }
    const entries = readFields(event.bytes).map(({ bytes }) => {
      const [name, value] = [1, 2].map((number) => lastOf(readFields(bytes), number));
      const status = lastOf(readFields(value?.bytes ?? Buffer.alloc(0)), 1)?.value ?? 0;
      return [name?.bytes.toString() ?? '', statusNames[status] ?? `status ${status}`] as const;
    });
    return new Map(entries);
  });
}

function lastOf(fields: readonly Field[], number: number): Field | undefined {
  return fields.findLast((field) => field.number === number);
}

interface Checked {
  readonly status: string;
  readonly code: number | undefined;
}

async function check(session: Session, service: string): Promise<Checked> {
  return onHealth(session, checkPath, service, async (call) =>
    statusOf(session, await call.next(session.timeoutMs)),
  );
}

/** What a Watch tells first, and whether it is still open a moment later. */
async function watch(session: Session, service: string, forMs = watchedMs): Promise<string> {
  return onHealth(session, watchPath, service, async (call) => {
    const { status, code } = statusOf(session, await call.next(session.timeoutMs));
    if (code === unimplemented) throw new NotJudged('its health service has no Watch');
    const second = await call.next(forMs);
    call.reset();
    return `${status}, then ${second.kind === 'silence' ? 'open' : second.kind}`;
  });
}

async function onHealth<Found>(
  session: Session,
  path: string,
  service: string,
  ask: (call: Call) => Promise<Found>,
): Promise<Found> {
  const { health } = session.options;
  const connection = health === undefined ? await session.shared() : await session.connect(health);
  try {
    const call = connection.openCall(path);
    call.send(service === '' ? Buffer.alloc(0) : bytesField(1, service)).halfClose();
    return await ask(call);
  } finally {
    if (health !== undefined) connection.close();
  }
}

function statusOf({ options: { health } }: Session, event: CallEvent): Checked {
  switch (event.kind) {
    case 'message': {
      const value = readFields(event.bytes).find(({ number }) => number === 1)?.value ?? 0;
      return { status: statusNames[value] ?? `status ${value}`, code: undefined };
    }
    case 'silence':
      return { status: 'silence', code: undefined };
    case 'end': {
      const code = event.end.kind === 'status' ? event.end.code : undefined;
      if (code === unimplemented && health === undefined) {
        throw new NotJudged(
          'no health service on this port, or no such method; tell its address with --health',
        );
      }
      return { status: describeEnd(event.end), code };
    }
  }
}
