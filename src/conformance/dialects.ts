import type { HeaderSpelling, ProtocolConfig } from './wire/processing-request.ts';

export const dialectFamilies = ['envoy', 'istio', 'agentgateway', 'ngf'] as const;
export type DialectFamily = (typeof dialectFamilies)[number];

/** How a data plane speaks external processing, and what it takes from the answers. */
export interface Dialect {
  readonly name: string;
  readonly family: DialectFamily;
  /** Undefined = not declared, as from NGINX Gateway Fabric. */
  readonly modes: ProtocolConfig | undefined;
  readonly spelling: HeaderSpelling;
  readonly sendsPseudoHeaders: boolean;
  /** `duplex`: all at once, N answers for M chunks. `turns`: the body after the headers reply, one answer each. */
  readonly requestBody: 'duplex' | 'turns' | 'none';
  /** Where the destination is read. Header mutations of a body reply count only where the body is held. */
  readonly reads: 'header' | 'metadata';
  readonly appliesHeadersOfBodyReply: boolean;
  readonly readsList: boolean;
  /** An extra empty chunk carries `end_of_stream`, because the end could not be foreseen. */
  readonly endsWithEmptyChunk: boolean;
  readonly reportsServed: boolean;
  readonly showsResponses: boolean;
  /** No known gateway sets up an endpoint picker like this: what it asks for is no more than a SHOULD. */
  readonly isUncommon?: true;
}

const duplex = { request: 'FULL_DUPLEX_STREAMED', response: 'FULL_DUPLEX_STREAMED' } as const;

const envoy: Dialect = {
  name: 'envoy full-duplex',
  family: 'envoy',
  modes: duplex,
  spelling: 'raw_value',
  sendsPseudoHeaders: true,
  requestBody: 'duplex',
  reads: 'header',
  appliesHeadersOfBodyReply: false,
  readsList: false,
  endsWithEmptyChunk: false,
  reportsServed: false,
  showsResponses: true,
};

/** Facts of each data plane's source: `ORIGINAL_DST` Envoy, Istio's `override_host`, agentgateway, NGF's shim. */
export const dialects = {
  duplex: envoy,
  buffered: {
    ...envoy,
    name: 'envoy buffered',
    modes: { request: 'BUFFERED', response: 'BUFFERED' },
    requestBody: 'turns',
    appliesHeadersOfBodyReply: true,
  },
  partial: {
    ...envoy,
    name: 'envoy buffered-partial',
    modes: { request: 'BUFFERED_PARTIAL', response: 'BUFFERED_PARTIAL' },
    isUncommon: true,
    requestBody: 'turns',
    appliesHeadersOfBodyReply: true,
  },
  streamed: {
    ...envoy,
    name: 'envoy streamed',
    modes: { request: 'STREAMED', response: 'STREAMED' },
    isUncommon: true,
    requestBody: 'turns',
  },
  none: {
    ...envoy,
    name: 'envoy headers-only',
    modes: { request: 'NONE', response: 'NONE' },
    isUncommon: true,
    requestBody: 'none',
  },
  istio: {
    ...envoy,
    name: 'istio',
    family: 'istio',
    reads: 'metadata',
    readsList: true,
    reportsServed: true,
  },
  agentgateway: {
    ...envoy,
    name: 'agentgateway',
    family: 'agentgateway',
    spelling: 'pseudo_in_value',
    endsWithEmptyChunk: true,
    reportsServed: true,
  },
  ngf: {
    ...envoy,
    name: 'ngf',
    family: 'ngf',
    modes: undefined,
    spelling: 'value',
    sendsPseudoHeaders: false,
    requestBody: 'duplex',
    showsResponses: false,
  },
} as const satisfies Record<string, Dialect>;

export const allDialects: readonly Dialect[] = Object.values(dialects);
export const duplexDialects: readonly Dialect[] = [dialects.duplex, dialects.istio, dialects.agentgateway];
/** One answer for each message. */
export const turnDialects: readonly Dialect[] = [dialects.buffered, dialects.partial, dialects.streamed];
export const bodyDialects: readonly Dialect[] = allDialects.filter(
  ({ requestBody }) => requestBody !== 'none',
);
export const responseDialects: readonly Dialect[] = allDialects.filter(
  ({ showsResponses }) => showsResponses,
);
