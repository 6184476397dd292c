import { createHash } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import type { ConformanceCase } from '../conformance-case.ts';
import { effectiveDestination, upstreamHeaders } from '../destination.ts';
import { type Dialect, dialects } from '../dialects.ts';
import { type Echo, hostAndPort } from '../echo-backends.ts';
import { chatBody, inChunks, post } from '../http-shapes.ts';
import { NotJudged, require } from '../outcome.ts';
import { requireGoodEnd } from './requirements.ts';

const forwarding: readonly Dialect[] = [
  dialects.duplex,
  dialects.buffered,
  dialects.streamed,
  dialects.istio,
  dialects.agentgateway,
  dialects.ngf,
];
/** A picker that watches its endpoints notices within this time that all are gone. */
const noticeMs = 15_000;
const pauseMs = 500;

/** With real endpoints behind: the request is sent where the picker says, as a data plane would send it. */
export const endpointCases: readonly ConformanceCase[] = [
  {
    id: 'forwarded',
    clause: '6',
    title: '6: a request that is sent to the picked endpoint arrives there whole, and its answer comes back',
    level: 'MUST',
    dialects: forwarding,
    async run(session, dialect) {
      const body = chatBody(session.options.model, { user: 'x'.repeat(5000) });
      const request = post(body, { chunks: inChunks(body, 999) });
      const exchange = await session.picked(dialect, request);
      const destination = effectiveDestination(exchange, request.headers)?.split(',')[0] ?? '';
      const { backends } = session.options;
      if (!backends.addresses.includes(destination)) {
        exchange.cancel();
        throw new NotJudged(`${destination || 'no destination'} is not an endpoint of ours`);
      }
      const sent = exchange.body('request');
      const answer = await forward(
        destination,
        request.path,
        upstreamHeaders(exchange, request.headers),
        sent,
      );
      const { echo } = JSON.parse(answer.body.toString()) as { readonly echo: Echo };
      require(echo.address === destination, destination, echo.address);
      const sha256 = createHash('sha256').update(body).digest('hex');
      require(echo.bodySha256 ===
        sha256, `the ${body.length} bytes of the client`, `${echo.bodyBytes} bytes`);
      if (dialect.showsResponses) {
        const headers = { 'content-type': 'application/json' };
        const chunks = inChunks(answer.body, 700);
        await exchange.response({ ...session.events(false), headers, chunks, served: destination });
        require(exchange
          .body('response')
          .equals(answer.body), 'the answer of the endpoint', exchange.describe());
        requireGoodEnd(await exchange.finish());
      }
      return `${echo.bodyBytes} bytes at ${destination}`;
    },
  },
];

/** Last of all: it takes the endpoints away. */
export const lostEndpointsCase: ConformanceCase = {
  id: 'none-ready',
  clause: '9',
  title: '9: when no endpoint is ready, an ImmediateResponse 503',
  level: 'MUST',
  dialects: 'any',
  async run(session) {
    const seen = session.requirePool();
    const { backends, endpoints } = session.options;
    const ours = backends.addresses;
    if (!seen.every((address) => ours.includes(address))) {
      throw new NotJudged('the endpoints of its pool are not ours to take away');
    }
    await backends.close();
    try {
      const deadline = performance.now() + noticeMs;
      while (performance.now() < deadline) {
        const exchange = await session.ask(dialects.duplex);
        if (exchange.immediate?.status === 503) return 'ImmediateResponse 503';
        const isPicked = exchange.headersReply('request') !== undefined;
        require(isPicked, 'ImmediateResponse 503', exchange.describe());
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
      throw new NotJudged(`it still picks ${noticeMs / 1000} s after all endpoints are gone`);
    } finally {
      await backends.open(endpoints);
    }
  },
};

async function forward(
  address: string,
  path: string,
  headers: ReadonlyMap<string, string>,
  body: Buffer,
): Promise<{ readonly status: number; readonly body: Buffer }> {
  const { host, port } = hostAndPort(address);
  const sent = { ...Object.fromEntries(headers), 'content-length': String(body.length) };
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host, port, method: 'POST', path, headers: sent, agent: false });
    request.once('error', reject);
    request.once('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.once('error', reject);
      response.once('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks) }));
    });
    request.end(body);
  });
}
