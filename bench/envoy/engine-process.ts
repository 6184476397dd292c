import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * An engine in a process of its own, so that it can be killed. Tells in each answer who it is and what reached
 * it, and sends the prompt back: whole, or word by word when asked for a stream.
 *
 *   node engine-process.js [PORT]
 */

export interface Echo {
  readonly engine: string;
  /** `x-gateway-destination-endpoint` as it arrived. */
  readonly destination: string | undefined;
  readonly requestId: string | undefined;
  readonly bodyBytes: number;
  readonly bodySha256: string;
}

/** Pieces that a streamed answer has. */
export const streamPieces = 20;

const gauges = [
  'vllm:num_requests_waiting{model_name="m"} 0',
  'vllm:num_requests_running{model_name="m"} 0',
  'vllm:kv_cache_usage_perc{model_name="m"} 0',
  'vllm:cache_config_info{block_size="16",num_gpu_blocks="4096"} 1',
  '',
].join('\n');
const models = JSON.stringify({ object: 'list', data: [{ id: 'm', object: 'model' }] });
const usage = { prompt_tokens: 5, completion_tokens: streamPieces };

function serve(): void {
  const server = createServer((request, response) => {
    void answer(request, response).catch(() => response.destroy());
  });
  server.keepAliveTimeout = 120_000;
  server.listen(Number(process.argv[2] ?? 0), '127.0.0.1', () => {
    const { port } = server.address() as AddressInfo;
    address = `127.0.0.1:${port}`;
    process.send?.({ port });
  });
  process.on('disconnect', () => process.exit(0));
}

let address = '';

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.url === '/metrics') return void response.setHeader('content-type', 'text/plain').end(gauges);
  if (request.url === '/v1/models')
    return void response.setHeader('content-type', 'application/json').end(models);
  const hash = createHash('sha256');
  let bodyBytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    hash.update(chunk);
    bodyBytes += chunk.length;
  }
  const { 'x-gateway-destination-endpoint': destination, 'x-request-id': requestId } = request.headers;
  const echo = {
    engine: address,
    destination: destination?.toString(),
    requestId: requestId?.toString(),
    bodyBytes,
    bodySha256: hash.digest('hex'),
  } satisfies Echo;
  if (request.headers.accept === 'text/event-stream') await stream(echo, response);
  else {
    // As long as the prompt, so that answers are as varied as requests.
    const content = echo.bodySha256.repeat(Math.ceil(bodyBytes / 64)).slice(0, bodyBytes);
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ echo, content, usage }));
  }
}

async function stream(echo: Echo, response: ServerResponse): Promise<void> {
  response.setHeader('content-type', 'text/event-stream');
  const send = (data: object) => response.write(`data: ${JSON.stringify(data)}\n\n`);
  send({ echo });
  for (let piece = 0; piece < streamPieces; piece++) {
    send({ choices: [{ index: 0, delta: { content: `${echo.bodySha256}-${piece} ` } }] });
    if (piece % 5 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  send({ choices: [], usage });
  response.end('data: [DONE]\n\n');
}

// Not when the shapes above are imported.
if (process.argv[1]?.endsWith('engine-process.js')) serve();
