import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { promptOf, type StreamLoad } from './serving.ts';

/**
 * node-llama-cpp in a process of its own: the same prompts and numbers of tokens as over our HTTP, but called in
 * process, without HTTP. Output tokens per second; undefined if it is not in the peers' folder.
 */
export async function nodeLlamaCppTokens(
  peers: string,
  model: string,
  threads: number,
  load: StreamLoad,
): Promise<number | undefined> {
  if (!existsSync(join(peers, 'node_modules/node-llama-cpp'))) return undefined;
  const { stdout } = await promisify(execFile)(process.execPath, [
    fileURLToPath(import.meta.url),
    JSON.stringify({ peers, model, threads, load }),
  ]);
  return Number(stdout.trim().split('\n').at(-1));
}

/** The part of node-llama-cpp that is called here. */
interface Sequence {
  evaluate(tokens: readonly number[], options: object): AsyncIterable<number>;
}
interface NodeLlamaCpp {
  getLlama(options: object): Promise<{
    loadModel(options: { modelPath: string }): Promise<{
      createContext(options: object): Promise<{ getSequence(): Sequence }>;
    }>;
  }>;
}

async function run(peers: string, model: string, threads: number, load: StreamLoad): Promise<number> {
  const entry = createRequire(join(peers, 'package.json')).resolve('node-llama-cpp');
  const { getLlama } = (await import(pathToFileURL(entry).href)) as NodeLlamaCpp;
  const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'error', progressLogs: false });
  const loaded = await llama.loadModel({ modelPath: model });
  const context = await loaded.createContext({
    contextSize: load.promptTokens + load.outputTokens + 16,
    sequences: load.streams,
    batchSize: 512,
    threads: { ideal: threads, min: threads },
  });
  const sequences = Array.from({ length: load.streams }, () => context.getSequence());
  const startMs = performance.now();
  await Promise.all(
    sequences.map(async (sequence, stream) => {
      let count = 0;
      const tokens = sequence.evaluate(promptOf(stream, load.promptTokens), {
        temperature: 0,
        yieldEogToken: true,
      });
      for await (const _ of tokens) if (++count >= load.outputTokens) break;
    }),
  );
  return (1000 * load.streams * load.outputTokens) / (performance.now() - startMs);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const given = JSON.parse(process.argv[2]!) as {
    peers: string;
    model: string;
    threads: number;
    load: StreamLoad;
  };
  console.log(await run(given.peers, given.model, given.threads, given.load));
  process.exit(0);
}
