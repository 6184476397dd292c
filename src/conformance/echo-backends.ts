import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { isIP } from 'node:net';

/** What an engine saw of a request, told in its answer. */
export interface Echo {
  readonly address: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly bodyBytes: number;
  readonly bodySha256: string;
}

/** Loopback addresses that stand in for pods. */
export const defaultEndpoints: readonly string[] = ['127.0.0.2:8000', '127.0.0.3:8000', '127.0.0.4:8000'];

/** Engines for a pool: `/metrics` in vLLM's names, `/v1/models`, and an echo for everything else. */
export class EchoBackends {
  readonly #servers = new Map<string, Server>();
  readonly #model: string;
  #isFull = false;

  constructor(model: string) {
    this.#model = model;
  }

  get addresses(): readonly string[] {
    return [...this.#servers.keys()];
  }

  /** Listens where the address is ours to listen at; gives the addresses where it is not. */
  async open(addresses: readonly string[]): Promise<readonly string[]> {
    const foreign: string[] = [];
    for (const address of addresses) {
      const server = await listen(address, (request, response) => this.#answer(address, request, response));
      if (server === undefined) foreign.push(address);
      else this.#servers.set(address, server);
    }
    return foreign;
  }

  /** Metrics tell that KV memory is full. */
  tellFull(isFull: boolean): void {
    this.#isFull = isFull;
  }

  async close(): Promise<void> {
    const servers = [...this.#servers.values()];
    this.#servers.clear();
    await Promise.all(
      servers.map(
        (server) =>
          new Promise((resolve) => {
            server.close(resolve);
            server.closeAllConnections();
          }),
      ),
    );
  }

  async #answer(address: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url = '', headers } = request;
    if (method === 'GET' && url === '/metrics') {
      response.setHeader('content-type', 'text/plain; version=0.0.4').end(metrics(this.#model, this.#isFull));
      return;
    }
    const hash = createHash('sha256');
    let bodyBytes = 0;
    try {
      for await (const chunk of request as AsyncIterable<Buffer>) {
        hash.update(chunk);
        bodyBytes += chunk.length;
      }
    } catch {
      // The client went away: nobody is left to answer.
      response.destroy();
      return;
    }
    const lines = Object.entries(headers).map(([name, value]) => [name, String(value)]);
    const echo = { address, method, path: url, headers: Object.fromEntries(lines), bodyBytes };
    const models = { object: 'list', data: [{ id: this.#model, object: 'model' }] };
    const isModels = method === 'GET' && url === '/v1/models';
    const answer = isModels ? models : completion(this.#model, bodyBytes);
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ ...answer, echo: { ...echo, bodySha256: hash.digest('hex') } }));
  }
}

function completion(model: string, promptTokens: number): object {
  const usage = { prompt_tokens: promptTokens, completion_tokens: 1, total_tokens: promptTokens + 1 };
  const message = { role: 'assistant', content: 'hello' };
  return { id: 'echo', object: 'chat.completion', model, choices: [{ index: 0, message }], usage };
}

function metrics(model: string, isFull: boolean): string {
  const labels = `{model_name="${model}"}`;
  return [
    `vllm:num_requests_waiting${labels} 0`,
    `vllm:num_requests_running${labels} 0`,
    `vllm:kv_cache_usage_perc${labels} ${isFull ? 1 : 0}`,
    'vllm:cache_config_info{block_size="16",num_gpu_blocks="4096"} 1',
    '',
  ].join('\n');
}

/** Undefined when the address is not of this machine, or in use. */
async function listen(
  address: string,
  answer: (request: IncomingMessage, response: ServerResponse) => Promise<void>,
): Promise<Server | undefined> {
  const { host, port } = hostAndPort(address);
  if (isIP(host) === 0) return undefined;
  const server = createServer((request, response) => void answer(request, response));
  return new Promise((resolve) => {
    server.once('error', () => resolve(undefined));
    server.listen(port, host, () => resolve(server));
  });
}

export function hostAndPort(address: string): { readonly host: string; readonly port: number } {
  const at = address.lastIndexOf(':');
  return { host: address.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(address.slice(at + 1)) };
}
