import { fileURLToPath } from 'node:url';
import {
  type ClientDuplexStream,
  credentials,
  loadPackageDefinition,
  type ServiceClientConstructor,
  type ServiceError,
  type StatusObject,
  status,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

/** The data plane's half of external processing, as the real ones speak it. Reads the protos by itself. */

const protoFolder = fileURLToPath(new URL('../../proto', import.meta.url));

/** Replies as protobufjs decodes them, with every field that was on the wire and no other. */
export interface Reply {
  readonly response?: string;
  readonly requestHeaders?: { readonly response?: CommonReply };
  readonly responseHeaders?: { readonly response?: CommonReply };
  readonly requestBody?: { readonly response?: CommonReply };
  readonly responseBody?: { readonly response?: CommonReply };
  readonly immediateResponse?: {
    readonly status: { readonly code: number };
    readonly headers?: HeaderMutationReply;
    readonly body?: Buffer;
    readonly details?: string;
  };
  readonly dynamicMetadata?: { readonly fields: Record<string, { readonly structValue?: StructReply }> };
  readonly modeOverride?: object;
}

export interface StructReply {
  readonly fields: Record<
    string,
    { readonly stringValue?: string; readonly numberValue?: number; readonly structValue?: StructReply }
  >;
}

export interface HeaderMutationReply {
  readonly setHeaders?: readonly {
    readonly header: { readonly key: string; readonly value?: string; readonly rawValue?: Buffer };
    readonly appendAction?: string;
  }[];
  readonly removeHeaders?: readonly string[];
}

export interface CommonReply {
  readonly headerMutation?: HeaderMutationReply;
  readonly bodyMutation?: {
    readonly body?: Buffer;
    readonly streamedResponse?: { readonly body?: Buffer; readonly endOfStream?: boolean };
  };
  readonly clearRouteCache?: boolean;
}

export interface ExtProcClientOptions {
  readonly address: string;
  /** Accepts any certificate, as data planes do. */
  readonly tls?: boolean;
}

export class ExtProcClient {
  readonly #client: InstanceType<ServiceClientConstructor>;
  readonly #health: InstanceType<ServiceClientConstructor>;

  constructor({ address, tls = false }: ExtProcClientOptions) {
    const channel = tls
      ? credentials.createSsl(null, null, null, { rejectUnauthorized: false })
      : credentials.createInsecure();
    const loaded = loadPackageDefinition(
      loadSync(['envoy/service/ext_proc/v3/external_processor.proto', 'grpc/health/v1/health.proto'], {
        includeDirs: [protoFolder],
        longs: Number,
        enums: String,
        defaults: false,
        oneofs: true,
      }),
    ) as unknown as LoadedPackages;
    // A connection of its own: else all clients of one address share one.
    const options = { 'grpc.max_receive_message_length': -1, 'grpc.use_local_subchannel_pool': 1 };
    this.#client = new loaded.envoy.service.ext_proc.v3.ExternalProcessor(address, channel, options);
    this.#health = new loaded.grpc.health.v1.Health(address, channel, options);
  }

  open(): Exchange {
    const call = this.#client['Process']!() as ClientDuplexStream<object, Reply>;
    return new Exchange(call);
  }

  /** The serving status, or the name of the gRPC error. */
  async health(service: string): Promise<string> {
    return new Promise((resolve) => {
      const answer = (error: ServiceError | null, reply?: { status?: string }) =>
        resolve(error === null ? (reply?.status ?? 'UNKNOWN') : status[error.code]!);
      this.#health['Check']!({ service }, answer);
    });
  }

  /** Statuses as they are told, until `stop`. */
  watchHealth(service: string): { readonly statuses: string[]; stop(): void } {
    const statuses: string[] = [];
    const call = this.#health['Watch']!({ service });
    call.on('data', (reply: { status: string }) => statuses.push(reply.status));
    call.on('error', () => {});
    return { statuses, stop: () => call.cancel() };
  }

  async listHealth(): Promise<Record<string, { status: string }>> {
    return new Promise((resolve, reject) => {
      this.#health['List']!(
        {},
        (error: Error | null, reply: { statuses: Record<string, { status: string }> }) =>
          error === null ? resolve(reply.statuses) : reject(error),
      );
    });
  }

  close(): void {
    this.#client.close();
    this.#health.close();
  }
}

interface LoadedPackages {
  readonly envoy: { service: { ext_proc: { v3: { ExternalProcessor: ServiceClientConstructor } } } };
  readonly grpc: { health: { v1: { Health: ServiceClientConstructor } } };
}

/** One stream. Replies queue up until they are asked for. */
export class Exchange {
  readonly #call: ClientDuplexStream<object, Reply>;
  readonly #replies: Reply[] = [];
  readonly #waiting: ((reply: Reply | undefined) => void)[] = [];
  readonly finished: Promise<StatusObject>;
  #isOver = false;

  constructor(call: ClientDuplexStream<object, Reply>) {
    this.#call = call;
    call.on('data', (reply: Reply) => {
      const next = this.#waiting.shift();
      if (next === undefined) this.#replies.push(reply);
      else next(reply);
    });
    call.on('error', () => {});
    this.finished = new Promise((resolve) => {
      call.on('status', (end: StatusObject) => {
        this.#isOver = true;
        for (const next of this.#waiting.splice(0)) next(undefined);
        resolve(end);
      });
    });
  }

  send(message: object): this {
    this.#call.write(message);
    return this;
  }

  /** The next reply; undefined when the server has ended the stream. */
  async next(): Promise<Reply | undefined> {
    const reply = this.#replies.shift();
    if (reply !== undefined || this.#isOver) return reply;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  async nextOf(kind: string): Promise<Reply> {
    const reply = await this.next();
    if (reply?.response !== kind) {
      throw new Error(`Expected the reply ${kind}, found ${JSON.stringify(reply)}.`);
    }
    return reply;
  }

  /** Pieces of a full-duplex body up to `end_of_stream`. */
  async nextBody(kind: 'requestBody' | 'responseBody'): Promise<Buffer> {
    const pieces: Buffer[] = [];
    for (;;) {
      const streamed = (await this.nextOf(kind))[kind]?.response?.bodyMutation?.streamedResponse;
      if (streamed === undefined) throw new Error('Expected a streamed_response in full duplex, found none.');
      pieces.push(streamed.body ?? Buffer.alloc(0));
      if (streamed.endOfStream) return Buffer.concat(pieces);
    }
  }

  get pending(): number {
    return this.#replies.length;
  }

  halfClose(): void {
    this.#call.end();
  }

  cancel(): void {
    this.#call.cancel();
  }
}

export type HeaderDialect = 'raw_value' | 'value' | 'agentgateway';

/** How each data plane spells header values: Envoy, NGINX Gateway Fabric, agentgateway. */
export function headerMap(
  headers: Readonly<Record<string, string>>,
  dialect: HeaderDialect = 'raw_value',
): object {
  const entries = Object.entries(headers).map(([key, text]) => {
    const isRaw = dialect === 'raw_value' || (dialect === 'agentgateway' && !key.startsWith(':'));
    return isRaw ? { key, rawValue: Buffer.from(text) } : { key, value: text };
  });
  return { headers: entries };
}

export interface Modes {
  readonly request: string;
  readonly response: string;
}

export const fullDuplex: Modes = { request: 'FULL_DUPLEX_STREAMED', response: 'FULL_DUPLEX_STREAMED' };
export const buffered: Modes = { request: 'BUFFERED', response: 'BUFFERED' };

export interface RequestHeadersOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly endOfStream?: boolean;
  /** Undefined = no `protocol_config`, as NGINX Gateway Fabric. */
  readonly modes?: Modes | undefined;
  readonly dialect?: HeaderDialect;
  /** The subset hint, as a `google.protobuf.Value`. */
  readonly subset?: object;
}

/** The first message of a stream. */
export function requestHeaders({
  headers = {},
  endOfStream = false,
  modes,
  dialect = 'raw_value',
  subset,
}: RequestHeadersOptions): object {
  const pseudo = {
    ':method': 'POST',
    ':path': '/v1/chat/completions',
    ':authority': 'gateway',
    ':scheme': 'http',
  };
  const all = dialect === 'value' ? headers : { ...pseudo, ...headers };
  return {
    requestHeaders: { headers: headerMap(all, dialect), endOfStream },
    ...(modes === undefined
      ? {}
      : { protocolConfig: { requestBodyMode: modes.request, responseBodyMode: modes.response } }),
    ...(subset === undefined ? {} : { metadataContext: { filterMetadata: subsetMetadata(subset) } }),
  };
}

function subsetMetadata(value: object): object {
  return { 'envoy.lb.subset_hint': { fields: { 'x-gateway-destination-endpoint-subset': value } } };
}

export function requestBody(body: string | Buffer, endOfStream = true): object {
  return { requestBody: { body: Buffer.from(body), endOfStream } };
}

export function responseHeaders(
  headers: Readonly<Record<string, string>>,
  options: {
    readonly endOfStream?: boolean;
    readonly served?: string;
    readonly dialect?: HeaderDialect;
  } = {},
): object {
  const { endOfStream = false, served, dialect } = options;
  const key = 'x-gateway-destination-endpoint-served';
  return {
    responseHeaders: { headers: headerMap(headers, dialect), endOfStream },
    ...(served === undefined
      ? {}
      : {
          metadataContext: { filterMetadata: { 'envoy.lb': { fields: { [key]: { stringValue: served } } } } },
        }),
  };
}

export function responseBody(body: string | Buffer, endOfStream = false): object {
  return { responseBody: { body: Buffer.from(body), endOfStream } };
}

/** Set headers by name, as a data plane that reads `raw_value` sees them. */
export function setHeaders(mutation: HeaderMutationReply | undefined): Record<string, string> {
  const entries = (mutation?.setHeaders ?? []).map(({ header }) => [
    header.key,
    header.rawValue?.toString() ?? '',
  ]);
  return Object.fromEntries(entries);
}

/** The destination as metadata. */
export function destinationMetadata(reply: Reply): string | undefined {
  return reply.dynamicMetadata?.fields['envoy.lb']?.structValue?.fields['x-gateway-destination-endpoint']
    ?.stringValue;
}
