import { bytesField, messageField, varintField } from './protobuf.ts';

export type Direction = 'request' | 'response';

/** Numbers of `ProcessingMode.BodySendMode`. */
export const bodyModes = {
  NONE: 0,
  STREAMED: 1,
  BUFFERED: 2,
  BUFFERED_PARTIAL: 3,
  FULL_DUPLEX_STREAMED: 4,
  GRPC: 5,
} as const;
export type BodyMode = keyof typeof bodyModes;

/**
 * Envoy writes all into `raw_value`; agentgateway pseudo-headers into `value`; NGINX Gateway Fabric all. `both`: the
 * header in `raw_value`, and another text in `value`, as nobody should.
 */
export type HeaderSpelling = 'raw_value' | 'value' | 'pseudo_in_value' | 'both';
/** What stands in `value` beside a `raw_value`. */
export const unreadValue = 'conformance-unread';

export type Headers = Readonly<Record<string, string>>;
/** In the order of the wire; a name may come again. */
export type HeaderLines = readonly (readonly [name: string, value: string])[];
/** A string value, or a list of them. */
export type MetadataValue = string | readonly string[];
/** By namespace, then key. */
export type Metadata = Readonly<Record<string, Readonly<Record<string, MetadataValue>>>>;

export interface ProtocolConfig {
  readonly request: BodyMode;
  readonly response: BodyMode;
  readonly sendsBodyWithoutWaiting?: boolean;
}

/** What may come with any message; `protocolConfig` and `attributes` only with the first. */
export interface Envelope {
  readonly metadata?: Metadata | undefined;
  readonly attributes?: Metadata[string] | undefined;
  readonly isObservedOnly?: boolean | undefined;
  readonly protocolConfig?: ProtocolConfig | undefined;
}

export interface HeadersOptions extends Envelope {
  readonly spelling?: HeaderSpelling | undefined;
  readonly endOfStream?: boolean | undefined;
  /** Lines behind the others. */
  readonly moreLines?: HeaderLines | undefined;
}

/** A `ProcessingRequest` of `envoy.service.ext_proc.v3`; field numbers are those of `proto/`. */
export function headersMessage(direction: Direction, headers: Headers, options: HeadersOptions = {}): Buffer {
  const { spelling = 'raw_value', endOfStream = false, moreLines = [] } = options;
  const lines = [...Object.entries(headers), ...moreLines];
  const content = [messageField(1, ...headerFields(lines, spelling))];
  if (endOfStream) content.push(varintField(3, true));
  return Buffer.concat([messageField(direction === 'request' ? 2 : 3, ...content), ...envelope(options)]);
}

export function bodyMessage(direction: Direction, body: Uint8Array | string, endOfStream: boolean): Buffer {
  const content: Buffer[] = [];
  if (body.length > 0) content.push(bytesField(1, body));
  if (endOfStream) content.push(varintField(2, true));
  return messageField(direction === 'request' ? 4 : 5, ...content);
}

export function trailersMessage(direction: Direction, trailers: Headers = {}): Buffer {
  const number = direction === 'request' ? 6 : 7;
  return messageField(number, messageField(1, ...headerFields(Object.entries(trailers), 'raw_value')));
}

function headerFields(lines: HeaderLines, spelling: HeaderSpelling): Buffer[] {
  return lines.map(([name, text]) => {
    if (spelling === 'both')
      return messageField(1, bytesField(1, name), bytesField(2, unreadValue), bytesField(3, text));
    const isRaw = spelling === 'raw_value' || (spelling === 'pseudo_in_value' && !name.startsWith(':'));
    return messageField(1, bytesField(1, name), bytesField(isRaw ? 3 : 2, text));
  });
}

function envelope({ metadata, attributes, isObservedOnly, protocolConfig }: Envelope): Buffer[] {
  const fields: Buffer[] = [];
  if (metadata !== undefined) {
    fields.push(
      messageField(8, ...Object.entries(metadata).map(([name, values]) => namespace(name, values))),
    );
  }
  if (attributes !== undefined) {
    fields.push(messageField(9, bytesField(1, 'envoy.filters.http.ext_proc'), struct(attributes)));
  }
  if (isObservedOnly) fields.push(varintField(10, true));
  if (protocolConfig !== undefined) {
    const { request, response, sendsBodyWithoutWaiting = false } = protocolConfig;
    const modes = [varintField(1, bodyModes[request]), varintField(2, bodyModes[response])];
    fields.push(messageField(11, ...modes, varintField(3, sendsBodyWithoutWaiting)));
  }
  return fields;
}

/** One entry of `map<string, Struct>`. */
function namespace(name: string, values: Metadata[string]): Buffer {
  return messageField(1, bytesField(1, name), struct(values));
}

function struct(values: Metadata[string]): Buffer {
  const entries = Object.entries(values).map(([key, value]) =>
    messageField(1, bytesField(1, key), messageField(2, structValue(value))),
  );
  return messageField(2, ...entries);
}

function structValue(value: MetadataValue): Buffer {
  if (typeof value === 'string') return bytesField(3, value);
  return messageField(6, ...value.map((text) => messageField(1, bytesField(3, text))));
}
