import { describeEnd } from '../client/call.ts';
import { dialects } from '../dialects.ts';
import type { Exchange } from '../exchange.ts';
import type { HttpRequest } from '../http-shapes.ts';
import { require } from '../outcome.ts';
import type { Session } from '../session.ts';

/** What several cases ask of an exchange. */

export function requireGoodEnd(exchange: Exchange): void {
  const { stop } = exchange;
  const isGood = stop?.kind === 'end' && stop.end.kind === 'status' && stop.end.code === 0;
  require(isGood && exchange.missed === undefined, 'the end of the stream with OK', exchange.describe());
}

export function requireNoEnd(exchange: Exchange, direction: 'request' | 'response'): void {
  const ended = exchange
    .bodyReplies(direction)
    .some(({ body }) => body.kind === 'streamed' && body.endOfStream);
  require(!ended, 'no end_of_stream on the body', 'end_of_stream before the trailers');
}

export function requireBody(exchange: Exchange, request: HttpRequest): void {
  const sent = Buffer.concat(request.chunks ?? []);
  const found = exchange.body('request');
  const how = found.length === sent.length ? 'other bytes' : `${found.length} bytes`;
  require(found.equals(sent), `the ${sent.length} bytes that were sent`, `${how}: ${exchange.describe()}`);
}

/** The stream ends, in whatever way, and the picker serves the next one. */
export async function requireOver(session: Session, exchange: Exchange): Promise<string> {
  const { stop } = await exchange.finish();
  const isOver = stop?.kind === 'end' || stop?.kind === 'immediate';
  require(isOver, 'the end of the stream', exchange.describe());
  await requireAlive(session);
  return stop.kind === 'end' ? describeEnd(stop.end) : exchange.describe();
}

export async function requireAlive(session: Session): Promise<string> {
  const exchange = await session.ask(dialects.duplex);
  require(exchange.headersReply('request') !== undefined, 'a pick for the next request', exchange.describe());
  return 'the next request is picked for';
}
