/**
 * Messages of external processing as the stream sees them, free of any gRPC library: a transport decodes into
 * `ProcessingRequest` and encodes `ProcessingResponse`.
 */

export type BodyMode =
  | 'NONE'
  | 'STREAMED'
  | 'BUFFERED'
  | 'BUFFERED_PARTIAL'
  | 'FULL_DUPLEX_STREAMED'
  | 'GRPC';

export interface ProtocolConfig {
  readonly requestBodyMode: BodyMode;
  readonly responseBodyMode: BodyMode;
  /** STREAMED only: chunks come before the headers are answered. */
  readonly sendsBodyWithoutWaiting: boolean;
}

/** `google.protobuf.Value`, with the names that protobufjs gives well-known types whatever `keepCase` says. */
export interface StructValue {
  readonly stringValue?: string;
  readonly structValue?: Struct;
  readonly listValue?: { readonly values?: readonly StructValue[] };
}

export interface Struct {
  readonly fields?: Readonly<Record<string, StructValue>>;
}

/** By namespace. */
export type Metadata = Readonly<Record<string, Struct>>;

/** Names in lower case; repeated headers joined with a comma; pseudo-headers included when they were sent. */
export type Headers = ReadonlyMap<string, string>;

interface Envelope {
  /** `metadata_context.filter_metadata`. */
  readonly metadata: Metadata | undefined;
  readonly attributes: Metadata | undefined;
  /** Only in the first message, and not from every data plane. */
  readonly protocolConfig: ProtocolConfig | undefined;
  readonly isObservedOnly: boolean;
}

export type Direction = 'request' | 'response';

export type ProcessingRequest = Envelope &
  (
    | {
        readonly kind: 'headers';
        readonly direction: Direction;
        readonly headers: Headers;
        readonly endOfStream: boolean;
      }
    | {
        readonly kind: 'body';
        readonly direction: Direction;
        /** May be a view on the transport's buffer; stays valid while it is held. */
        readonly body: Uint8Array;
        readonly endOfStream: boolean;
      }
    | {
        readonly kind: 'trailers';
        readonly direction: Direction;
        /** Of a request; those of a response are not read. */
        readonly headers: Headers;
      }
  );

export interface HeaderMutation {
  readonly set: readonly (readonly [name: string, value: string])[];
  readonly remove: readonly string[];
}

export type ProcessingResponse =
  | {
      readonly kind: 'headers';
      readonly direction: Direction;
      readonly mutation?: HeaderMutation;
      /** By namespace, then key. */
      readonly metadata?: DynamicMetadata;
    }
  | {
      readonly kind: 'body';
      readonly direction: Direction;
      readonly mutation?: HeaderMutation;
      readonly metadata?: DynamicMetadata;
      /** `streamed_response`: required in FULL_DUPLEX_STREAMED, forbidden elsewhere. */
      readonly streamed?: { readonly body: Uint8Array; readonly endOfStream: boolean };
      /** Takes the place of the body or chunk that is answered; in the other modes only. Empty clears it. */
      readonly replaced?: Uint8Array;
    }
  | { readonly kind: 'trailers'; readonly direction: Direction; readonly mutation?: HeaderMutation }
  | {
      readonly kind: 'immediate';
      readonly status: number;
      readonly headers: HeaderMutation;
      readonly body: Uint8Array;
      /** Shown by Envoy as %RESPONSE_CODE_DETAILS%. */
      readonly details: string;
    };

/** A value is a text, or numbers by name. */
export type DynamicMetadata = Readonly<
  Record<string, Readonly<Record<string, string | ReadonlyMap<string, number>>>>
>;
