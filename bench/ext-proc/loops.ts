import { EchoConnection } from './echo-connection.ts';
import { LoadConnection, type LoadObserver } from './load-connection.ts';
import { Samples } from './samples.ts';
import type { Scenario } from './scenario.ts';

export interface Measured {
  finished: number;
  errors: number;
  elapsedMs: number;
  readonly pickMs: Samples;
}

export interface Load {
  readonly port: number;
  readonly scenario: Scenario;
  readonly connections: number;
  /** An echo instead of ext-proc. */
  readonly isEcho?: boolean;
}

/** The client of one connection: exchanges begin when they are due, and are sent with the next `flush`. */
type Client = Pick<LoadConnection, 'open' | 'start' | 'flush' | 'close'>;

function newClient({ port, scenario, isEcho }: Load, observer: LoadObserver): Client {
  return isEcho === true
    ? new EchoConnection(port, scenario, observer)
    : new LoadConnection(port, scenario, observer);
}

/** Errors that were told; the others are counted. */
const printed = new Set<string>();

/** So many streams on each connection, one after the other, for that long. */
export async function closedLoop(load: Load, streams: number, forMs: number): Promise<Measured> {
  const result: Measured = { finished: 0, errors: 0, elapsedMs: 0, pickMs: new Samples() };
  const startedMs = performance.now();
  const connections: Client[] = [];
  for (let i = 0; i < load.connections; i++) {
    const connection: Client = newClient(load, {
      onPicked: (ms) => result.pickMs.push(ms),
      onFinished: () => {
        result.finished++;
        const nowMs = performance.now();
        if (nowMs - startedMs < forMs) connection.start(nowMs);
      },
      onError: (what) => report(result, what),
    });
    connections.push(connection);
    for (let n = 0; n < streams; n++) connection.start(performance.now());
    connection.flush();
  }
  await until(() => performance.now() - startedMs >= forMs && connections.every(({ open }) => open === 0));
  result.elapsedMs = performance.now() - startedMs;
  for (const connection of connections) connection.close();
  return result;
}

/** Of an open loop: what starts in this time is served and not counted, so that connecting is not measured. */
const settlingMs = 500;

/**
 * Intended start times are fixed in advance: what starts late still counts from when it was due. `begin` is called
 * when counting begins.
 */
export async function openLoop(
  load: Load,
  perSecond: number,
  forMs: number,
  begin: () => void,
): Promise<Measured> {
  const result: Measured = { finished: 0, errors: 0, elapsedMs: forMs, pickMs: new Samples() };
  let isCounting = false;
  const { connections: count } = load;
  const connections = Array.from({ length: count }, () =>
    newClient(load, {
      onPicked: (ms) => {
        if (isCounting) result.pickMs.push(ms);
      },
      onFinished: () => result.finished++,
      onError: (what) => report(result, what),
    }),
  );
  const intervalMs = 1000 / perSecond;
  const startedMs = performance.now();
  for (let started = 0; ; ) {
    const elapsedMs = performance.now() - startedMs;
    if (elapsedMs >= settlingMs + forMs) break;
    if (!isCounting && elapsedMs >= settlingMs) {
      begin();
      isCounting = true;
    }
    for (; started * intervalMs <= elapsedMs; started++)
      connections[started % count]!.start(startedMs + started * intervalMs);
    for (const connection of connections) connection.flush();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await until(() => connections.every(({ open }) => open === 0));
  for (const connection of connections) connection.close();
  return result;
}

export async function until(isTrue: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 30_000;
  while (!isTrue()) {
    if (performance.now() > deadlineMs) throw new Error('the server does not answer');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

function report(result: Measured, what: string): void {
  result.errors++;
  if (!printed.has(what)) console.error(`error: ${what}`);
  printed.add(what);
}
