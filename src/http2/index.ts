/**
 * HTTP/2 with prior knowledge and gRPC framing for servers, on node:net and node:tls (RFC 9113, RFC 7541).
 * Complete for what gRPC clients send, bounded against what abusers send, and built for many short messages:
 * bytes are handed on in views and written once per read. Owns connections and streams. Imports nothing of ours.
 */
export {
  GrpcCall,
  type GrpcHandler,
  GrpcStatus,
  grpcPrefixBytes,
  isGrpc,
  refuseNonGrpc,
} from './grpc-call.ts';
export { ConnectionError, ErrorCode } from './http2-error.ts';
export { Http2Server, type Http2ServerOptions } from './http2-server.ts';
export type { Http2Stream } from './http2-stream.ts';
export { defaultLimits, type Http2Limits } from './limits.ts';
export type { RequestHead } from './request-head.ts';
