import type { Exchange } from '../exchange.ts';
import type { HttpRequest } from '../http-shapes.ts';
import { require } from '../outcome.ts';

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
