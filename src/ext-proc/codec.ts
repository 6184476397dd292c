import type {
  BodyMode,
  Direction,
  DynamicMetadata,
  HeaderMutation,
  Headers,
  Metadata,
  ProcessingRequest,
  ProcessingResponse,
  ProtocolConfig,
} from './messages.ts';

/** Between protobufjs objects, as `proto-loader` makes and takes them, and our messages. */

interface WireHeaderValue {
  readonly key?: string;
  readonly value?: string;
  readonly rawValue?: Buffer;
}

interface WireHeaders {
  readonly headers?: { readonly headers?: readonly WireHeaderValue[] };
  readonly endOfStream?: boolean;
}

interface WireBody {
  readonly body?: Buffer;
  readonly endOfStream?: boolean;
}

/** What the oneof's case names; all fields are absent when they hold their default. */
export interface WireRequest {
  readonly request?: `${Direction}${'Headers' | 'Body' | 'Trailers'}`;
  readonly requestHeaders?: WireHeaders;
  readonly responseHeaders?: WireHeaders;
  readonly requestTrailers?: { readonly trailers?: WireHeaders['headers'] };
  readonly requestBody?: WireBody;
  readonly responseBody?: WireBody;
  readonly metadataContext?: { readonly filterMetadata?: Metadata };
  readonly attributes?: Metadata;
  readonly observabilityMode?: boolean;
  readonly protocolConfig?: {
    /** A number where the enumeration has no name for it. */
    readonly requestBodyMode?: BodyMode | number;
    readonly responseBodyMode?: BodyMode | number;
    readonly sendBodyWithoutWaitingForHeaderResponse?: boolean;
  };
}

const noBytes = new Uint8Array(0);
const noHeaders: Headers = new Map();

/** Undefined for a message of a kind that we do not know. */
export function fromWire(wire: WireRequest): ProcessingRequest | undefined {
  const envelope = {
    metadata: wire.metadataContext?.filterMetadata,
    attributes: wire.attributes,
    protocolConfig: protocolConfig(wire),
    isObservedOnly: wire.observabilityMode === true,
  };
  switch (wire.request) {
    case 'requestHeaders':
      return { ...envelope, kind: 'headers', direction: 'request', ...headersFromWire(wire.requestHeaders) };
    case 'responseHeaders':
      return {
        ...envelope,
        kind: 'headers',
        direction: 'response',
        ...headersFromWire(wire.responseHeaders),
      };
    case 'requestBody':
      return { ...envelope, kind: 'body', direction: 'request', ...bodyFromWire(wire.requestBody) };
    case 'responseBody':
      return { ...envelope, kind: 'body', direction: 'response', ...bodyFromWire(wire.responseBody) };
    case 'requestTrailers':
      return {
        ...envelope,
        kind: 'trailers',
        direction: 'request',
        headers: headerMap(wire.requestTrailers?.trailers),
      };
    case 'responseTrailers':
      return { ...envelope, kind: 'trailers', direction: 'response', headers: noHeaders };
    default:
      return undefined;
  }
}

function protocolConfig({ protocolConfig: config }: WireRequest): ProtocolConfig | undefined {
  if (config === undefined) return undefined;
  return {
    requestBodyMode: bodyMode(config.requestBodyMode),
    responseBodyMode: bodyMode(config.responseBodyMode),
    sendsBodyWithoutWaiting: config.sendBodyWithoutWaitingForHeaderResponse === true,
  };
}

function bodyMode(mode: BodyMode | number | undefined): BodyMode {
  return typeof mode === 'string' ? mode : 'NONE';
}

function headersFromWire(wire: WireHeaders | undefined): { headers: Headers; endOfStream: boolean } {
  return { headers: headerMap(wire?.headers), endOfStream: wire?.endOfStream === true };
}

function headerMap(wire: WireHeaders['headers']): Headers {
  const headers = new Map<string, string>();
  for (const { key, value, rawValue } of wire?.headers ?? []) {
    if (key === undefined || key === '') continue;
    // Envoy uses `raw_value`; agentgateway uses `value` for pseudo-headers; NGINX Gateway Fabric for all.
    const text = rawValue !== undefined && rawValue.length > 0 ? rawValue.toString() : (value ?? '');
    const name = key.toLowerCase();
    const earlier = headers.get(name);
    headers.set(name, earlier === undefined ? text : `${earlier},${text}`);
  }
  return headers;
}

function bodyFromWire(wire: WireBody | undefined): { body: Uint8Array; endOfStream: boolean } {
  return { body: wire?.body ?? noBytes, endOfStream: wire?.endOfStream === true };
}

export function toWire(response: ProcessingResponse): object {
  switch (response.kind) {
    case 'headers':
      return {
        [`${response.direction}Headers`]: { response: commonResponse(response.mutation) },
        ...dynamicMetadata(response.metadata),
      };
    case 'body': {
      const common = commonResponse(response.mutation);
      return {
        [`${response.direction}Body`]: { response: { ...common, ...bodyMutation(response) } },
        ...dynamicMetadata(response.metadata),
      };
    }
    case 'trailers':
      return { [`${response.direction}Trailers`]: commonResponse(response.mutation) };
    case 'immediate':
      return {
        immediateResponse: {
          status: { code: response.status },
          headers: headerMutation(response.headers),
          body: response.body,
          details: response.details,
        },
      };
  }
}

function bodyMutation({ streamed, replaced }: Extract<ProcessingResponse, { kind: 'body' }>): object {
  if (streamed !== undefined) return { bodyMutation: { streamedResponse: streamed } };
  if (replaced === undefined) return {};
  return { bodyMutation: replaced.length === 0 ? { clearBody: true } : { body: replaced } };
}

function commonResponse(mutation: HeaderMutation | undefined): object {
  return mutation === undefined ? {} : { headerMutation: headerMutation(mutation) };
}

/** Only `raw_value`: Envoy takes a mutation that carries `value` alone as an empty header, and refuses both. */
function headerMutation({ set, remove }: HeaderMutation): object {
  return {
    setHeaders: set.map(([key, value]) => ({
      header: { key, rawValue: Buffer.from(value) },
      // Envoy overwrites anyway; agentgateway heeds the action, and appending would let a client's value win.
      appendAction: 'OVERWRITE_IF_EXISTS_OR_ADD',
    })),
    removeHeaders: remove,
  };
}

function dynamicMetadata(metadata: DynamicMetadata | undefined): object {
  if (metadata === undefined) return {};
  const namespaces = Object.entries(metadata).map(([namespace, values]) => {
    const fields = Object.entries(values).map(([key, value]) => [key, metadataValue(value)]);
    return [namespace, { structValue: { fields: Object.fromEntries(fields) } }];
  });
  return { dynamicMetadata: { fields: Object.fromEntries(namespaces) } };
}

function metadataValue(value: string | ReadonlyMap<string, number>): object {
  if (typeof value === 'string') return { stringValue: value };
  const fields = [...value].map(([name, numberValue]) => [name, { numberValue }]);
  return { structValue: { fields: Object.fromEntries(fields) } };
}
