import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Agent, fetch, request } from 'undici';

/** Our engine as a process of its own, as a user starts it. */
export interface ServedEngine {
  readonly url: string;
  /** From starting the process to the first answer of /health, in milliseconds. */
  readonly readyMs: number;
  stop(): Promise<void>;
}

/** Entry of the command line, beside this file's folder once compiled. */
const main = fileURLToPath(new URL('../../src/commands/main.js', import.meta.url));

/** Starts `pointsman engine` on a free port and waits until it is healthy. */
export async function startEngine(model: string, flags: readonly string[]): Promise<ServedEngine> {
  const startMs = performance.now();
  const child = spawn(
    process.execPath,
    [main, 'engine', model, '--port', '0', '--served-model-name', 'bench', ...flags],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const url = await addressOf(child);
  const health = await fetch(`${url}/health`);
  if (!health.ok) throw new Error(`the engine answers /health with ${health.status}`);
  const readyMs = performance.now() - startMs;
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  return {
    url,
    readyMs,
    stop: () => {
      child.kill('SIGTERM');
      return exited;
    },
  };
}

/** The address in the line that says that the engine is serving. */
function addressOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let output = '';
    const read = (chunk: Buffer) => {
      output += chunk.toString();
      const [, address] = /address\W+((?:\d+\.){3}\d+:\d+)/.exec(output) ?? [];
      if (address !== undefined) resolve(`http://${address}`);
    };
    child.stdout?.on('data', read);
    child.stderr?.on('data', read);
    child.once('exit', (code) => reject(new Error(`the engine ended with code ${code}:\n${output}`)));
  });
}

export interface StreamLoad {
  readonly streams: number;
  readonly promptTokens: number;
  readonly outputTokens: number;
}

/** Output tokens per second of streams over HTTP, all at once, from the first request to the last token. */
export async function streamTokens(url: string, load: StreamLoad): Promise<number> {
  const dispatcher = new Agent({ connections: load.streams, pipelining: 1 });
  const startMs = performance.now();
  const counts = await Promise.all(
    Array.from({ length: load.streams }, async (_, stream) => {
      // Not fetch, whose streams cost half as much again: the client runs on the engine's cores.
      const { body } = await request(`${url}/v1/completions`, {
        method: 'POST',
        dispatcher,
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          model: 'bench',
          prompt: promptOf(stream, load.promptTokens),
          max_tokens: load.outputTokens,
          temperature: 0,
          ignore_eos: true,
          stream: true,
          stream_options: { include_usage: true },
        }),
      });
      const text = await body.text();
      const [, tokens] = /"completion_tokens":(\d+)/.exec(text) ?? [];
      if (tokens === undefined) throw new Error(`no usage in the stream: ${text.slice(0, 200)}`);
      return Number(tokens);
    }),
  );
  const seconds = (performance.now() - startMs) / 1000;
  await dispatcher.close();
  return counts.reduce((sum, count) => sum + count, 0) / seconds;
}

/** Token ids that no two streams share a prefix of. */
export function promptOf(stream: number, tokens: number): readonly number[] {
  return Array.from({ length: tokens }, (_, i) => 300 + ((i * 7919 + stream * 104_729) % 31_000));
}
