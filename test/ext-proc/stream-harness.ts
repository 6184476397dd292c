import { parseInferenceRequest } from '../../src/endpoint-picker/inference-request.ts';
import type {
  BodyMode,
  Direction,
  Metadata,
  ProcessingRequest,
  ProcessingResponse,
  ProtocolConfig,
} from '../../src/ext-proc/messages.ts';
import { pieceMessage } from '../../src/ext-proc/outbox.ts';
import { ExtProcStream } from '../../src/ext-proc/stream.ts';
import type { StreamCollaborators } from '../../src/ext-proc/stream-collaborators.ts';
import { observeResponse } from '../../src/protocol/observe-response.ts';
import { silentLog } from '../../src/telemetry/index.ts';
import { type FakePicker, fakePicker } from './fakes.ts';

export interface Harness {
  readonly stream: ExtProcStream;
  readonly picker: FakePicker;
  /** Replies so far. */
  readonly sent: ProcessingResponse[];
  readonly isEnded: () => boolean;
  /** Fires the patience timer; false if none runs. */
  readonly fireTimer: () => boolean;
  readonly headers: (options?: HeaderOptions) => void;
  readonly body: (body: string | Uint8Array, endOfStream?: boolean) => void;
  readonly trailers: (trailers?: Readonly<Record<string, string>>) => void;
  readonly responseHeaders: (options?: HeaderOptions) => void;
  readonly responseBody: (body: string | Uint8Array, endOfStream?: boolean) => void;
  readonly responseTrailers: () => void;
  /** The peer is slow: nothing is taken until `unblock`. */
  readonly block: () => void;
  readonly unblock: () => void;
}

export interface HeaderOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly endOfStream?: boolean;
  readonly metadata?: Metadata;
  readonly attributes?: Metadata;
}

export interface HarnessOptions {
  /** Undefined = no `protocol_config`. */
  readonly modes?: { readonly request: BodyMode; readonly response?: BodyMode; readonly eager?: boolean };
  readonly picker?: FakePicker;
  readonly collaborators?: Partial<StreamCollaborators>;
  readonly isObservedOnly?: boolean;
}

/** One stream in memory, with the data plane's half spelled out as calls. */
export function openStream({ modes, isObservedOnly = false, ...options }: HarnessOptions = {}): Harness {
  const picker = options.picker ?? fakePicker(['10.0.0.1:8000', '10.0.0.2:8000']);
  const sent: ProcessingResponse[] = [];
  let isEnded = false;
  let isBlocked = false;
  let timer: (() => void) | undefined;
  const send = (response: ProcessingResponse): boolean => {
    if (isEnded) throw new Error('sent after the end');
    sent.push(response);
    return !isBlocked;
  };
  const stream = new ExtProcStream(
    {
      picker,
      parseRequest: (http) => parseInferenceRequest(http, { blockTokens: 16, maxPrefixTokens: 1024 }),
      observeResponse,
      log: silentLog,
      maxBodyBytes: 1_000_000,
      fallbacks: 0,
      newRequestId: () => 'request-1',
      explains: false,
      isCutting: () => false,
      startTimer: (task) => {
        timer = task;
        return () => {
          timer = undefined;
        };
      },
      ...options.collaborators,
    },
    {
      send,
      sendPiece: (direction, bytes, start, end, endOfStream) =>
        send(pieceMessage(direction, bytes.subarray(start, end), endOfStream)),
      end: () => {
        if (isEnded) throw new Error('ended twice');
        isEnded = true;
      },
    },
  );

  let protocolConfig = protocolConfigOf(modes);
  const receive = (message: Payload, { metadata, attributes }: HeaderOptions = {}) => {
    stream.onMessage({ ...message, metadata, attributes, protocolConfig, isObservedOnly });
    protocolConfig = undefined;
  };
  const sendHeaders = (direction: Direction, defaults: Record<string, string>, given: HeaderOptions = {}) => {
    const headers = new Map(Object.entries({ ...defaults, ...given.headers }));
    receive({ kind: 'headers', direction, headers, endOfStream: given.endOfStream ?? false }, given);
  };
  const sendBody = (direction: Direction, body: string | Uint8Array, endOfStream: boolean) =>
    receive({ kind: 'body', direction, body: Buffer.from(body), endOfStream });

  return {
    stream,
    picker,
    sent,
    isEnded: () => isEnded,
    fireTimer: () => {
      const task = timer;
      timer = undefined;
      task?.();
      return task !== undefined;
    },
    headers: (given) => sendHeaders('request', postHeaders, given),
    body: (body, endOfStream = false) => sendBody('request', body, endOfStream),
    trailers: (trailers = {}) =>
      receive({ kind: 'trailers', direction: 'request', headers: new Map(Object.entries(trailers)) }),
    responseHeaders: (given) =>
      sendHeaders('response', { ':status': '200', 'content-type': 'text/event-stream' }, given),
    responseBody: (body, endOfStream = false) => sendBody('response', body, endOfStream),
    responseTrailers: () => receive({ kind: 'trailers', direction: 'response', headers: new Map() }),
    block: () => {
      isBlocked = true;
    },
    unblock: () => {
      isBlocked = false;
      stream.onDrain();
    },
  };
}

type Payload = ProcessingRequest extends infer Message
  ? Message extends ProcessingRequest
    ? Omit<Message, 'metadata' | 'attributes' | 'protocolConfig' | 'isObservedOnly'>
    : never
  : never;

const postHeaders = {
  ':method': 'POST',
  ':path': '/v1/chat/completions',
  'content-type': 'application/json',
};

function protocolConfigOf(modes: HarnessOptions['modes']): ProtocolConfig | undefined {
  if (modes === undefined) return undefined;
  return {
    requestBodyMode: modes.request,
    responseBodyMode: modes.response ?? modes.request,
    sendsBodyWithoutWaiting: modes.eager ?? false,
  };
}

/** Lets promises settle. */
export async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

export const chatBody = JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'hello' }] });

/** Replies in short: `headers`, `body(5)`, `body(5)+end`, `body`, `trailers`, `immediate 503`. */
export function outline(sent: readonly ProcessingResponse[]): string[] {
  return sent.map((reply) => {
    if (reply.kind === 'immediate') return `immediate ${reply.status}`;
    const side = reply.direction === 'response' ? 'response ' : '';
    const picked = reply.kind !== 'trailers' && reply.metadata !== undefined ? ' picked' : '';
    if (reply.kind !== 'body' || reply.streamed === undefined) return `${side}${reply.kind}${picked}`;
    return `${side}body(${reply.streamed.body.length})${reply.streamed.endOfStream ? '+end' : ''}`;
  });
}
