import { createHash } from 'node:crypto';
import { type Agent, type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { type Echo, streamPieces } from './engine-process.ts';

/** How one request ended, as its client sees it. */
export type SoakResult =
  | { readonly kind: 'answered'; readonly echo: Echo }
  /** An error that says so: a status, or a connection that breaks off within an answer. */
  | { readonly kind: 'refused'; readonly status: number; readonly text: string }
  | { readonly kind: 'cut'; readonly reason: string }
  /** What must never be: an answer that looks whole and is not. */
  | { readonly kind: 'corrupt'; readonly reason: string };

export interface SoakRequest {
  readonly url: string;
  readonly agent: Agent;
  readonly body: Buffer;
  readonly isStreaming: boolean;
}

const smallestBytes = 2_000;
const largestBytes = 1_000_000;

/** Beginnings that prompts share, as those of one application do: the picker learns them, and then no more. */
const beginnings = 100;

/** A chat of 2 kB to 1 MB, sizes spread evenly over the orders of magnitude; its end is its serial number. */
export function soakBody(serial: number, random: () => number): Buffer {
  const bytes = Math.round(smallestBytes * (largestBytes / smallestBytes) ** random());
  const words = `application ${serial % beginnings} asks. `;
  const content = `${words.repeat(Math.ceil(bytes / words.length)).slice(0, bytes)} Request ${serial}.`;
  return Buffer.from(JSON.stringify({ model: 'm', messages: [{ role: 'user', content }] }));
}

/** Never rejects. */
export function send(options: SoakRequest): Promise<SoakResult> {
  const { url, agent, body, isStreaming } = options;
  return new Promise((resolve) => {
    const cut = (error: Error) => resolve({ kind: 'cut', reason: error.message });
    const outgoing: ClientRequest = httpRequest(`${url}/v1/chat/completions`, {
      method: 'POST',
      agent,
      headers: {
        'content-type': 'application/json',
        'content-length': body.length,
        ...(isStreaming ? { accept: 'text/event-stream' } : {}),
      },
    });
    outgoing.on('error', cut);
    outgoing.on('response', (response) => read(response, options).then(resolve, cut));
    outgoing.end(body);
  });
}

async function read(response: IncomingMessage, { body, isStreaming }: SoakRequest): Promise<SoakResult> {
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  const { statusCode: status = 0 } = response;
  if (status !== 200) return { kind: 'refused', status, text };
  try {
    const sent = createHash('sha256').update(body).digest('hex');
    const echo = isStreaming ? streamedEcho(text, sent) : wholeEcho(text, sent, body.length);
    if (echo.bodySha256 !== sent)
      return { kind: 'corrupt', reason: `the engine got ${echo.bodyBytes} of ${body.length} bytes` };
    return { kind: 'answered', echo };
  } catch (error) {
    return {
      kind: 'corrupt',
      reason: `${(error as Error).message}: ${text.slice(0, 80)} … ${text.slice(-80)}`,
    };
  }
}

function wholeEcho(text: string, sent: string, bytes: number): Echo {
  const { echo, content } = JSON.parse(text) as { echo: Echo; content: string };
  const expected = sent.repeat(Math.ceil(bytes / 64)).slice(0, bytes);
  if (content !== expected) throw new Error('the answer is not what the engine sent');
  return echo;
}

function streamedEcho(text: string, sent: string): Echo {
  const events = text.split('\n\n');
  const [first = '', ...rest] = events.map((event) => event.replace(/^data: /, ''));
  const { echo } = JSON.parse(first) as { echo: Echo };
  const deltas = rest.slice(0, streamPieces).map((event) => {
    const { choices } = JSON.parse(event) as { choices: [{ delta: { content: string } }] };
    return choices[0].delta.content;
  });
  const expected = Array.from({ length: streamPieces }, (_, piece) => `${sent}-${piece} `);
  if (deltas.join('') !== expected.join('')) throw new Error('the stream is not what the engine sent');
  if (rest[streamPieces + 1] !== '[DONE]' || rest.length !== streamPieces + 3)
    throw new Error('the stream has no end');
  return echo;
}
