import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { openSocket } from '../client/connection.ts';
import type { ConformanceCase } from '../conformance-case.ts';
import { dialects } from '../dialects.ts';
import type { Exchange } from '../exchange.ts';
import { NotJudged, require } from '../outcome.ts';
import type { Session } from '../session.ts';

/** What TLS offers decides what is spoken (ALPN, RFC 7301; RFC 9113, 3.2). All data planes of today offer h2. */
export const tlsCases: readonly ConformanceCase[] = [
  {
    id: 'tls-alpn',
    clause: '1',
    title: '1: TLS: h2 is chosen, whatever else is offered',
    level: 'MUST',
    dialects: 'any',
    async run(session) {
      requireTls(session);
      for (const offers of [['h2'], ['http/1.1', 'h2']]) {
        const chosen = await chosenOf(session, offers);
        require(chosen === 'h2', `h2 of ${offers.join(' and ')}`, chosen);
      }
      return 'h2';
    },
  },
  {
    id: 'tls-no-alpn',
    clause: '1',
    title: '1: TLS: a data plane that offers no protocol is served in h2 or turned away, not left waiting',
    level: 'SHOULD',
    dialects: 'any',
    async run(session) {
      requireTls(session);
      session.requirePool();
      const exchange = await askedWithout(session);
      if (typeof exchange === 'string') return exchange;
      require(exchange.missed === undefined, 'a pick, or the end of the connection', exchange.describe());
      return exchange.describe();
    },
  },
  {
    id: 'http1',
    clause: '1',
    title: '1: a client that speaks HTTP/1.1 and offers nothing else is turned away, not left waiting',
    level: 'SHOULD',
    dialects: 'any',
    async run(session) {
      const socket = await openedOrRefused(session, ['http/1.1']);
      return typeof socket === 'string' ? socket : turnedAway(session, socket);
    },
  },
];

/** What comes of a request over TLS without ALPN, or why the handshake ended. */
async function askedWithout(session: Session): Promise<Exchange | string> {
  const socket = await openedOrRefused(session, []);
  if (typeof socket === 'string') return socket;
  socket.destroy();
  const connection = await session.connect({ ...session.options.target, offers: [] });
  try {
    return await session.startOn(connection, dialects.duplex).request(session.chat());
  } finally {
    connection.close();
  }
}

function requireTls({ options }: Session): void {
  if (!options.target.usesTls)
    throw new NotJudged('it is spoken to in plain text; say --tls where it has TLS');
}

async function chosenOf(session: Session, offers: readonly string[]): Promise<string> {
  const socket = await openedOrRefused(session, offers);
  if (typeof socket === 'string') return socket;
  const chosen = socket instanceof TLSSocket ? socket.alpnProtocol : false;
  socket.destroy();
  return chosen === false || chosen === null ? 'no protocol' : chosen;
}

/** The connection, or why there is none. A picker that is not there at all has failed before. */
async function openedOrRefused(session: Session, offers: readonly string[]): Promise<Socket | string> {
  const { target } = session.options;
  try {
    return await openSocket({ ...target, offers }, session.timeoutMs);
  } catch (error) {
    return `the handshake ended: ${error instanceof Error ? error.message : String(error)}`;
  }
}

async function turnedAway(session: Session, socket: Socket): Promise<string> {
  const ended = new Promise<string>((resolve) => {
    const timer = setTimeout(() => resolve('silence'), session.timeoutMs);
    socket.once('close', () => {
      clearTimeout(timer);
      resolve('the connection ended');
    });
  });
  socket.on('error', () => {});
  socket.resume().write('GET / HTTP/1.1\r\nhost: conformance.test\r\n\r\n');
  const found = await ended;
  socket.destroy();
  require(found !== 'silence', 'the end of the connection', 'a connection that stays open');
  return found;
}
