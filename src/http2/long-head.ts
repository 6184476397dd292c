import { GrpcStatus, headerBlock, isGrpcType, trailersOnly } from './grpc-call.ts';
import type { HeaderField } from './hpack-decoder.ts';

/**
 * The answer to a request whose header list passes the limit: its status and reason for a gRPC client, 431 for others
 * (RFC 9113, 10.5.1; RFC 6585). `fields` are those up to the limit, where clients put what is theirs.
 */
export function longHeadAnswer(fields: readonly HeaderField[], maxListBytes: number): Uint8Array {
  const contentType = fields.find(([name]) => name === 'content-type')?.[1];
  if (!isGrpcType(contentType)) return headerBlock([[':status', '431']]);
  return trailersOnly(
    GrpcStatus.ResourceExhausted,
    `Expected a header list of at most ${maxListBytes} bytes, found more.`,
  );
}
