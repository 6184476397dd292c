import type { AddressInfo } from 'node:net';
import type { SecureContextOptions } from 'node:tls';
import {
  defaultLimits,
  GrpcCall,
  type Http2Limits,
  Http2Server,
  isGrpc,
  refuseNonGrpc,
} from '../../src/http2/index.ts';

export interface EchoServer {
  readonly port: number;
  readonly server: Http2Server;
  /** Messages of protocol violations, oldest first. */
  readonly violations: string[];
  close(): Promise<void>;
}

/** Sends every message back, and ends when the client does. */
export async function echoServer(
  limits: Partial<Http2Limits> = {},
  maxMessageBytes = 1 << 20,
  tls?: SecureContextOptions,
): Promise<EchoServer> {
  const violations: string[] = [];
  const server = new Http2Server({
    tls,
    limits: { ...defaultLimits, ...limits },
    clock: () => performance.now(),
    onViolation: (error) => violations.push(error.message),
    onRequest: (stream, head) => {
      if (!isGrpc(head)) {
        refuseNonGrpc(stream);
        return undefined;
      }
      const call = new GrpcCall(stream, maxMessageBytes);
      call.handle({
        onMessage: (bytes, start, end) => {
          if (!call.send(bytes.subarray(start, end), 0, end - start)) call.pause();
        },
        onEnd: () => call.end(),
        onCancel: () => {},
        onDrain: () => call.resume(),
      });
      return call;
    },
  });
  await new Promise<void>((resolve) => server.server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.server.address() as AddressInfo).port,
    server,
    violations,
    close: () => server.close(0),
  };
}
