import { type GrpcCall, type GrpcHandler, GrpcStatus } from '../http2/index.ts';
import { type HealthStatus, type HealthWatches, healthClaims, statusOf } from './health-status.ts';
import { ProtoReader } from './wire/proto-reader.ts';
import { ProtoWriter } from './wire/proto-writer.ts';

/** `HealthCheckResponse.ServingStatus` of `grpc.health.v1`. */
const statusNumbers: Readonly<Record<HealthStatus, number>> = {
  SERVING: 1,
  NOT_SERVING: 2,
  SERVICE_UNKNOWN: 3,
};
const reader = new ProtoReader();
const writer = new ProtoWriter(8);

type Claims = ReadonlyMap<string, () => boolean>;

/** `grpc.health.v1.Health` for the fast transport; undefined for any other path. */
export function fastHealth(
  options: { readonly isReady: () => boolean; readonly isAlive: () => boolean },
  watches: HealthWatches,
): (path: string, call: GrpcCall) => GrpcHandler | undefined {
  const claims = healthClaims(options);
  return (path, call) => {
    switch (path) {
      case '/grpc.health.v1.Health/Check':
        return unary(call, (service) => check(call, claims, service));
      case '/grpc.health.v1.Health/List':
        return unary(call, () => list(call, claims));
      case '/grpc.health.v1.Health/Watch':
        return watch(call, claims, watches);
      default:
        return undefined;
    }
  };
}

function unary(call: GrpcCall, answer: (service: string) => void): GrpcHandler {
  return {
    onMessage: (bytes, start, end) => answer(serviceOf(bytes, start, end)),
    onEnd: () => call.end(GrpcStatus.Internal, 'Expected one request message, found none.'),
    onCancel: () => {},
    onDrain: () => {},
  };
}

function check(call: GrpcCall, claims: Claims, service: string): void {
  if (claims.has(service)) {
    sendStatus(call, statusOf(claims, service));
    call.end();
  } else call.end(GrpcStatus.NotFound, `unknown service ${service}`);
}

function list(call: GrpcCall, claims: Claims): void {
  writer.reset();
  for (const name of claims.keys()) {
    const entry = writer.mark();
    const value = writer.mark();
    writer.varintField(1, statusNumbers[statusOf(claims, name)]);
    writer.close(2, value);
    writer.textField(1, name);
    writer.close(1, entry);
  }
  call.send(writer.bytes, writer.start, writer.end);
  call.end();
}

function watch(call: GrpcCall, claims: Claims, watches: HealthWatches): GrpcHandler {
  let stop = () => {};
  return {
    onMessage(bytes, start, end) {
      stop();
      const service = serviceOf(bytes, start, end);
      stop = watches.start({
        read: () => statusOf(claims, service),
        tell: (status) => sendStatus(call, status),
        end: () => call.end(),
      });
    },
    // The client half-closes after its one message, and goes on reading.
    onEnd: () => {},
    onCancel: () => stop(),
    onDrain: () => {},
  };
}

function sendStatus(call: GrpcCall, status: HealthStatus): void {
  writer.reset();
  writer.varintField(1, statusNumbers[status]);
  call.send(writer.bytes, writer.start, writer.end);
}

/** `HealthCheckRequest.service`; empty if the bytes are no such message. */
function serviceOf(bytes: Buffer, start: number, end: number): string {
  reader.open(bytes, start, end);
  let service = '';
  try {
    while (reader.at < end) {
      const tag = reader.tag();
      if (tag === 0x0a) service = reader.text(reader.span());
      else reader.skip(tag);
    }
  } catch {
    return '';
  }
  return service;
}
