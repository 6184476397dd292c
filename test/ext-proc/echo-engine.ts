import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Says in its answer what reached it, so that a test can compare with what was sent. */
export interface Echo {
  readonly engine: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly bodyBytes: number;
  readonly bodySha256: string;
}

export interface EchoEngine {
  readonly address: string;
  readonly port: number;
  /** Requests that were answered, and those whose client left before. */
  readonly served: () => number;
  readonly aborted: () => number;
  /** Streamed answers that wait for `finishStreams`. */
  readonly streaming: () => number;
  /** Ends streamed answers that wait for it. */
  readonly finishStreams: () => void;
  close(): Promise<void>;
}

/**
 * Echoes as JSON with OpenAI usage. With `x-echo: stream` as server-sent events, the second half only after
 * `finishStreams`; with `x-echo-status` under that status.
 */
export async function startEchoEngine(): Promise<EchoEngine> {
  let served = 0;
  let aborted = 0;
  let waiting: (() => void)[] = [];
  const server = createServer(async (request, response) => {
    response.on('close', () => {
      if (response.writableFinished) served++;
      else aborted++;
    });
    const echo = await readEcho(request, address);
    if (request.headers['x-echo'] === 'stream') {
      streamEcho(echo, response);
      waiting.push(() => response.end(`data: ${JSON.stringify(lastChunk)}\n\ndata: [DONE]\n\n`));
    } else {
      const status = Number(request.headers['x-echo-status'] ?? 200);
      response.writeHead(status, { 'content-type': 'application/json', 'x-engine': address });
      response.end(JSON.stringify({ echo, usage: lastChunk.usage }));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const address = `127.0.0.1:${port}`;
  return {
    address,
    port,
    served: () => served,
    aborted: () => aborted,
    streaming: () => waiting.length,
    finishStreams: () => {
      for (const finish of waiting) finish();
      waiting = [];
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

const lastChunk = { choices: [], usage: { prompt_tokens: 5, completion_tokens: 2 } };

function streamEcho(echo: Echo, response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'x-engine': echo.engine });
  const chunk = { echo, choices: [{ index: 0, delta: { content: 'hello' } }] };
  response.write(`data: ${JSON.stringify(chunk)}\n\n`);
}

async function readEcho(request: IncomingMessage, engine: string): Promise<Echo> {
  const hash = createHash('sha256');
  let bodyBytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    hash.update(chunk);
    bodyBytes += chunk.length;
  }
  return {
    engine,
    method: request.method ?? '',
    path: request.url ?? '',
    headers: request.headers as Record<string, string>,
    bodyBytes,
    bodySha256: hash.digest('hex'),
  };
}
