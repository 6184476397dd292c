import { createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import type { Server, Socket } from 'node:net';
import { createServer as createSecureServer } from 'node:tls';
import { generate } from 'selfsigned';
import {
  bytesField,
  type Field,
  messageField,
  readFields,
  varintField,
} from '../../src/conformance/wire/protobuf.ts';
import type { RunningServer } from '../../src/protocol/running-server.ts';

/** Ways in which a picker can be wrong. Without any, it keeps full duplex well enough for most cases. */
export interface Faults {
  readonly bodyWithoutStreamed?: boolean;
  readonly otherMetadata?: boolean;
  readonly dropsLastChunk?: boolean;
  readonly keepsSpoofedHeader?: boolean;
  readonly neverEnds?: boolean;
  readonly bodyBeforeHeaders?: boolean;
  readonly usesValue?: boolean;
  readonly holdsResponse?: boolean;
  readonly ignoresSubset?: boolean;
  readonly namesList?: boolean;
  /** Each response as in full duplex, whatever its mode. */
  readonly alwaysStreams?: boolean;
  readonly answersObserved?: boolean;
  readonly forgetsTrailers?: boolean;
  readonly ignoresBackPressure?: boolean;
  /** Parses a body to change its model, and lets the response pass as it is. */
  readonly rewritesByParsing?: boolean;
  readonly endsWatch?: boolean;
  readonly keepsTrailers?: boolean;
  readonly namesFallbackKey?: boolean;
  /** Of an objective that it does not know. */
  readonly refusesWishes?: boolean;
  readonly ignoresPorts?: boolean;
  readonly refusesIpv6?: boolean;
  readonly ignoresSubsetOfGet?: boolean;
  readonly replacesErrors?: boolean;
  /** Loses what does not end with a line, or a brace. */
  readonly wantsWholeLines?: boolean;
  readonly echoesResponseHeaders?: boolean;
  readonly keepsResponsePieces?: boolean;
  readonly replaces?: boolean;
  readonly removesHost?: boolean;
  readonly listsNothing?: boolean;
  /** Counts connections, and forgets to count them down. */
  readonly keepsConnections?: boolean;
  /** Of a model name that is given in both fields of a header. Rewrites by parsing. */
  readonly readsValueFirst?: boolean;
  /** Sets each header again that came in several lines. */
  readonly collapsesLines?: boolean;
  /** To what the client has sent, where it has sent the destination twice. */
  readonly appendsToLines?: boolean;
  /** How it sheds behind `roomFor` requests: by default as it should. */
  readonly sheds?: 'well' | 'without headers' | 'with 503' | 'never again' | 'never';
  /** TLS: `choosesHttp1` of any offer that has it, `wantsAlpn` or keeps silent. */
  readonly tls?: 'well' | 'choosesHttp1' | 'wantsAlpn';
}

/** Requests without an answer that the fake lets through before it sheds. */
const roomFor = 3;

const services = ['liveness', 'readiness', 'envoy.service.ext_proc.v3.ExternalProcessor'];
const destination = 'x-gateway-destination-endpoint';
const controlHeaders = [
  'x-gateway-destination-endpoint-served',
  'x-gateway-destination-endpoint-subset',
  'x-prefiller-host-port',
  'x-encoder-hosts-ports',
  'x-data-parallel-host-port',
];
const rewriteHeader = 'x-llm-d-model-name-rewrite';
const pieceBytes = 60_000;
const fullDuplex = 4;
const nowhere = '192.0.2.7:1';

/** A picker in full duplex and nothing else, on node:http2: one that others might have written in an afternoon. */
export async function serveFakePicker(
  endpoints: readonly string[],
  faults: Faults = {},
): Promise<RunningServer> {
  const server = createServer();
  const sessions = new Set<{ destroy(): void }>();
  server.on('session', (session) => {
    sessions.add(session);
    if (faults.keepsConnections && sessions.size > 100) session.destroy();
  });
  const shared = { turn: 0, open: 0, hasShed: false };
  server.on('stream', (stream, headers) => {
    const method = /^\/grpc.health.v1.Health\/(\w+)$/.exec(headers[':path'] ?? '')?.[1];
    if (method !== undefined) serveHealth(stream, method, faults);
    else serveStream(stream, endpoints, faults, shared);
  });
  const listening = faults.tls === undefined ? server : await behindTls(server, faults.tls);
  listening.on('connection', (socket: Socket) => sessions.add(socket));
  const port = await listen(listening);
  return {
    address: `127.0.0.1:${port}`,
    port,
    close: async () => {
      for (const session of sessions) session.destroy();
      await new Promise((resolve) => listening.close(resolve));
    },
  };
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port));
  });
}

async function behindTls(server: Http2Server, how: Faults['tls']): Promise<Server> {
  const { private: key, cert } = await generate();
  const preferred = how === 'choosesHttp1' ? 'http/1.1' : 'h2';
  const secure = createSecureServer({
    key,
    cert,
    ALPNCallback: ({ protocols }) => [preferred, 'h2'].find((each) => protocols.includes(each)),
  });
  secure.on('secureConnection', (socket) => {
    socket.on('error', () => {});
    const isSilent = how === 'wantsAlpn' && socket.alpnProtocol === false;
    if (!isSilent && socket.alpnProtocol !== 'http/1.1') server.emit('connection', socket);
  });
  secure.on('tlsClientError', () => {});
  return secure;
}

/** Check and Watch: SERVING for what it has, SERVICE_UNKNOWN else; a Watch then waits. */
function serveHealth(stream: ServerHttp2Stream, method: string, { endsWatch, listsNothing }: Faults): void {
  stream.on('error', () => {});
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  stream.on('data', (bytes: Buffer) => {
    const status = (name: Buffer | string) =>
      varintField(1, services.some((each) => name.includes(each)) ? 1 : 3);
    const entries = services.map((name) =>
      messageField(1, bytesField(1, name), messageField(2, status(name))),
    );
    const answer = method === 'List' ? Buffer.concat(listsNothing ? [] : entries) : status(bytes);
    stream.write(grpcMessage(answer));
    if (method !== 'Watch' || endsWatch) stream.end();
  });
}

function serveStream(
  stream: ServerHttp2Stream,
  endpoints: readonly string[],
  faults: Faults,
  shared: { turn: number; open: number; hasShed: boolean },
): void {
  let received = Buffer.alloc(0);
  const chunks: Buffer[] = [];
  let headers: Field | undefined;
  let subset: readonly string[] | undefined;
  let hasPicked = false;
  let isObservedOnly = false;
  let responseMode = fullDuplex;
  const heldResponse: Buffer[] = [];
  stream.on('error', () => {});
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  stream.on('end', () => {
    if (!faults.neverEnds) stream.end();
  });
  stream.on('data', (bytes: Buffer) => {
    received = Buffer.concat([received, bytes]);
    while (received.length >= 5 && received.length >= 5 + received.readUInt32BE(1)) {
      const end = 5 + received.readUInt32BE(1);
      onMessage(received.subarray(5, end));
      received = received.subarray(end);
    }
  });

  const send = (...fields: readonly Buffer[]) => {
    if (stream.destroyed || stream.writableEnded || isObservedOnly) return;
    const hasRoom = stream.write(grpcMessage(Buffer.concat(fields)));
    if (!hasRoom && !faults.ignoresBackPressure) stream.pause();
  };
  stream.on('drain', () => stream.resume());

  function onMessage(message: Buffer): void {
    let fields: readonly Field[];
    try {
      fields = readFields(message);
    } catch {
      stream.close();
      return;
    }
    for (const field of fields) {
      if (field.number === 8) subset = subsetOf(field.bytes);
      if (field.number === 2) headers = field;
      if (field.number === 10) isObservedOnly = !faults.answersObserved;
      if (field.number === 11) responseMode = numberAt(field.bytes, 2);
    }
    for (const { number, bytes } of fields) {
      if (number === 2 && isSet(bytes, 3)) pick(true);
      else if (number === 4) onRequestBody(bytes);
      else if (number === 6) onRequestTrailers();
      else if (number === 3) onResponseHeaders(bytes);
      else if (number === 5) onResponseBody(bytes);
      else if (number === 7 && !faults.forgetsTrailers) send(messageField(6));
    }
  }

  function onRequestBody(body: Buffer): void {
    if (hasPicked) return;
    const bytes = content(body);
    for (let at = 0; at === 0 || at < bytes.length; at += pieceBytes) {
      chunks.push(bytes.subarray(at, at + pieceBytes));
    }
    if (isSet(body, 2)) pick(true);
  }

  function onRequestTrailers(): void {
    if (!hasPicked) pick(false);
    const removed = [destination, ...controlHeaders].map((name) => bytesField(2, name));
    send(messageField(5, ...(faults.keepsTrailers ? [] : [messageField(1, ...removed)])));
  }

  function onResponseHeaders(bytes: Buffer): void {
    if (faults.replacesErrors && headerIn(bytes, ':status') === '500') {
      send(refusal());
      return;
    }
    const value = faults.echoesResponseHeaders ? headerIn(bytes, 'transfer-encoding') : undefined;
    const set = value === undefined ? [] : [messageField(2, setHeader('transfer-encoding', value))];
    send(messageField(2, messageField(1, ...set)));
  }

  function pick(isLast: boolean): void {
    if (hasPicked || headers === undefined) return;
    hasPicked = true;
    const hints = faults.ignoresPorts ? subset?.map((hint) => hint.split(':')[0]!) : subset;
    const isHintIgnored = faults.ignoresSubset || (faults.ignoresSubsetOfGet && isSet(headers.bytes, 3));
    const eligible = endpoints.filter((each) => isHintIgnored || (hints?.some(fits(each)) ?? true));
    const isRefused =
      (faults.refusesIpv6 && subset?.some((hint) => hint.includes('['))) ||
      (faults.refusesWishes && headers.bytes.includes('inference-objective'));
    if (eligible.length === 0 || isRefused) {
      send(refusal());
      return;
    }
    if (faults.sheds !== undefined && !isAdmitted()) {
      send(shed(faults.sheds));
      return;
    }
    const first = eligible[shared.turn++ % eligible.length]!;
    const value = faults.namesList ? `${first},${endpoints.find((each) => each !== first)}` : first;
    const hasSpoof = faults.keepsSpoofedHeader && headers.bytes.includes(destination);
    const comesTwice = linesIn(headers.bytes).filter(([name]) => name === destination).length > 1;
    const option = setHeader(destination, value, {
      number: faults.usesValue ? 2 : 3,
      append: faults.appendsToLines === true && comesTwice,
    });
    const removed = [...controlHeaders, ...(faults.removesHost ? ['host'] : [])];
    const names = removed.map((name) => bytesField(2, name));
    const again = faults.collapsesLines ? collapsed() : [];
    const mutation = messageField(2, ...(hasSpoof ? [] : [option]), ...again, ...names);
    const status = faults.replaces ? [varintField(1, 1)] : [];
    const reply = messageField(1, messageField(1, ...status, mutation));
    const dynamic = metadata({
      [destination]: faults.otherMetadata ? nowhere : value,
      ...(faults.namesFallbackKey ? { [`${destination}-fallback`]: value } : {}),
    });
    const bodies = bodyChunks(headers).map((chunk, i) =>
      streamed(3, chunk, isLast && i === chunks.length - 1),
    );
    if (faults.bodyBeforeHeaders && bodies.length > 0) send(bodies.shift()!);
    send(reply, dynamic);
    if (faults.dropsLastChunk && bodies.length > 0) bodies.pop();
    for (const each of bodies) send(each);
  }

  function isAdmitted(): boolean {
    if (faults.sheds === 'never') return true;
    const isFull = shared.open >= roomFor || (faults.sheds === 'never again' && shared.hasShed);
    shared.hasShed ||= isFull;
    if (isFull) return false;
    shared.open++;
    stream.once('close', () => shared.open--);
    return true;
  }

  /** Headers that came more than once, set to the first of their lines. */
  function collapsed(): Buffer[] {
    const lines = linesIn(headers?.bytes ?? Buffer.alloc(0));
    const again = lines.filter(([name], at) => lines.findIndex(([other]) => other === name) < at);
    return again.map(([name, value]) => setHeader(name, value));
  }

  function bodyChunks({ bytes }: Field): readonly Buffer[] {
    const rewrites = faults.rewritesByParsing || faults.readsValueFirst !== undefined;
    const model = rewrites ? headerIn(bytes, rewriteHeader, faults.readsValueFirst) : undefined;
    if (model === undefined) return chunks;
    const body = JSON.parse(Buffer.concat(chunks).toString()) as object;
    chunks.splice(0, chunks.length, Buffer.from(JSON.stringify({ ...body, model })));
    return chunks;
  }

  function onResponseBody(body: Buffer): void {
    if (responseMode !== fullDuplex && !faults.alwaysStreams) {
      send(messageField(4));
      return;
    }
    const bytes = content(body);
    if (faults.wantsWholeLines && !/[\n}]$/.test(bytes.toString())) return;
    const longest = faults.keepsResponsePieces ? Number.POSITIVE_INFINITY : pieceBytes;
    for (let at = 0; at === 0 || at < bytes.length; at += longest) {
      const isLast = isSet(body, 2) && at + longest >= bytes.length;
      heldResponse.push(streamed(4, bytes.subarray(at, at + longest), isLast));
    }
    if (faults.holdsResponse && !isSet(body, 2)) return;
    for (const held of heldResponse.splice(0)) send(held);
  }

  function streamed(number: number, chunk: Buffer, isLast: boolean): Buffer {
    const mutation = faults.bodyWithoutStreamed
      ? bytesField(1, chunk)
      : messageField(3, bytesField(1, chunk), varintField(2, isLast));
    return messageField(number, messageField(1, messageField(3, mutation)));
  }
}

function grpcMessage(message: Buffer): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** The text of one header in `HttpHeaders`; undefined if it is not there. */
function headerIn(headers: Buffer, name: string, readsValueFirst = false): string | undefined {
  return linesIn(headers, readsValueFirst).find(([key]) => key === name)?.[1];
}

/** All lines of `HttpHeaders`; `raw_value`, else `value`, or the other way round. */
function linesIn(headers: Buffer, readsValueFirst = false): readonly (readonly [string, string])[] {
  const [map] = readFields(headers);
  return readFields(map?.bytes ?? Buffer.alloc(0)).map(({ bytes }) => {
    const [key, ...values] = readFields(bytes);
    values.sort((a, b) => (readsValueFirst ? a.number - b.number : b.number - a.number));
    return [key!.bytes.toString(), values[0]?.bytes.toString() ?? ''] as const;
  });
}

/** `ip:port` or `ip`. */
function fits(endpoint: string): (hint: string) => boolean {
  return (hint) => endpoint === hint || endpoint.startsWith(`${hint}:`);
}

/** ImmediateResponse 503 with a JSON body. */
function refusal(status = 503, more: readonly Buffer[] = []): Buffer {
  const headers = messageField(2, setHeader('content-type', 'application/json'), ...more);
  return messageField(7, messageField(1, varintField(1, status)), headers, bytesField(3, '{"error":{}}'));
}

function shed(how: Faults['sheds']): Buffer {
  if (how === 'with 503') return refusal();
  const headers = [
    setHeader('retry-after', '1'),
    setHeader('x-llm-d-request-dropped-reason', 'rejected-saturated'),
  ];
  return refusal(429, how === 'without headers' ? [] : headers);
}

function content(body: Buffer): Buffer {
  return readFields(body).find(({ number }) => number === 1)?.bytes ?? Buffer.alloc(0);
}

function isSet(message: Buffer, number: number): boolean {
  return numberAt(message, number) === 1;
}

/** Of a varint; 0 when it is absent. */
function numberAt(message: Buffer, number: number): number {
  return readFields(message).find((field) => field.number === number)?.value ?? 0;
}

/** All texts in the hint, split at commas: enough of a Struct for what the suite sends. */
function subsetOf(metadata: Buffer): readonly string[] | undefined {
  const texts: string[] = [];
  let isHint = false;
  const walk = (bytes: Buffer, path: readonly number[]): void => {
    for (const field of readFields(bytes)) {
      const name = field.bytes.toString();
      if (name === 'x-gateway-destination-endpoint-subset') isHint = true;
      const at = [...path, field.number].join('.');
      if (at === '1.2.1.2.3' || at === '1.2.1.2.6.1.3') texts.push(name);
      else if (['1', '1.2', '1.2.1', '1.2.1.2', '1.2.1.2.6', '1.2.1.2.6.1'].includes(at))
        walk(field.bytes, [...path, field.number]);
    }
  };
  walk(metadata, []);
  if (!isHint) return undefined;
  return texts.flatMap((text) => text.split(',').map((each) => each.trim())).filter((each) => each !== '');
}

/** A `HeaderValueOption` for the field 1 of a mutation; its value in field 3, `raw_value`, or another. */
function setHeader(name: string, value: string, { number = 3, append = false } = {}): Buffer {
  const header = messageField(1, bytesField(1, name), bytesField(number, value));
  return messageField(1, header, ...(append ? [messageField(2, varintField(1, true))] : [varintField(3, 2)]));
}

/** `dynamic_metadata`: `envoy.lb` with texts. */
function metadata(values: Readonly<Record<string, string>>): Buffer {
  const entries = Object.entries(values).map(([key, value]) =>
    messageField(1, bytesField(1, key), messageField(2, bytesField(3, value))),
  );
  return messageField(
    8,
    messageField(1, bytesField(1, 'envoy.lb'), messageField(2, messageField(5, ...entries))),
  );
}
