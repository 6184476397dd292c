import {
  type Exchange,
  type ExtProcClient,
  fullDuplex,
  requestBody,
  requestHeaders,
  responseBody,
  responseHeaders,
  setHeaders,
} from './ext-proc-client.ts';

export interface ClientRequest {
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** The client goes away. */
  readonly signal?: AbortSignal;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
}

const path = '/v1/chat/completions';
const json = { 'content-type': 'application/json' };

export async function throughGateway(address: string, request: ClientRequest): Promise<Answer> {
  const { body, headers, signal = null } = request;
  const answer = await fetch(`http://${address}${path}`, {
    method: 'POST',
    body,
    headers: { ...json, ...headers },
    signal,
  });
  return answerOf(answer);
}

/** The part of Envoy: asks the picker, sends the request where it says, and shows it the answer. */
export async function throughExtProc(client: ExtProcClient, request: ClientRequest): Promise<Answer> {
  const exchange = client.open();
  request.signal?.addEventListener('abort', () => exchange.cancel());
  const headers = { ...json, ...request.headers };
  exchange.send(requestHeaders({ headers, modes: fullDuplex })).send(requestBody(request.body));
  const reply = await exchange.next();
  if (reply === undefined) throw new Error('The stream ended without a reply.');
  const { immediateResponse: immediate } = reply;
  if (immediate !== undefined) {
    const text = immediate.body?.toString() ?? '';
    return { status: immediate.status.code, headers: setHeaders(immediate.headers), text };
  }
  const set = setHeaders(reply.requestHeaders?.response?.headerMutation);
  const body = await exchange.nextBody('requestBody');
  const answer = await sendTo(set['x-gateway-destination-endpoint']!, body, headers);
  await show(exchange, answer);
  return answer;
}

async function sendTo(
  destination: string,
  body: Buffer,
  headers: Readonly<Record<string, string>>,
): Promise<Answer> {
  try {
    const options = { method: 'POST', headers, body: new Uint8Array(body) };
    return await answerOf(await fetch(`http://${destination}${path}`, options));
  } catch {
    const text =
      'upstream connect error or disconnect/reset before headers. reset reason: connection failure';
    return { status: 503, headers: { 'content-type': 'text/plain' }, text };
  }
}

async function show(exchange: Exchange, { status, headers, text }: Answer): Promise<void> {
  const type = headers['content-type'] ?? 'application/json';
  exchange.send(responseHeaders({ ':status': String(status), 'content-type': type }));
  await exchange.nextOf('responseHeaders');
  exchange.send(responseBody(text, true));
  await exchange.nextBody('responseBody');
  exchange.halfClose();
  await exchange.finished;
}

async function answerOf(answer: Response): Promise<Answer> {
  return {
    status: answer.status,
    headers: Object.fromEntries(answer.headers),
    text: await answer.text(),
  };
}
