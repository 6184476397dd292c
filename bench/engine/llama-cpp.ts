import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * How to get the peers, word for word; the folder is outside the repository. The barrier is for processors with AMX:
 * GCC before 13 drops stores to what `_tile_loadconfig` reads, and llama.cpp crashes.
 */
export function installCommand(folder: string): string {
  return [
    `mkdir -p ${folder} && cd ${folder} && npm init -y && npm install --ignore-scripts node-llama-cpp`,
    'git clone node_modules/node-llama-cpp/llama/gitRelease.bundle llama.cpp',
    `sed -i 's/_tile_loadconfig(&tc);/__asm__ volatile("" : : "r"(\\&tc) : "memory"); &/' llama.cpp/ggml/src/ggml-cpu/amx/mmq.cpp`,
    'cmake -S llama.cpp -B llama.cpp/build -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF',
    'cmake --build llama.cpp/build -j --target llama-bench llama-batched-bench',
  ].join(' && \\\n  ');
}

/** llama.cpp's own benches, from a build in the peers' folder. */
export class LlamaCpp {
  readonly #programs: string;
  readonly #threads: number;

  /** Undefined if it is not built there. */
  static find(peers: string, threads: number): LlamaCpp | undefined {
    const programs = join(peers, 'llama.cpp/build/bin');
    return existsSync(join(programs, 'llama-batched-bench')) ? new LlamaCpp(programs, threads) : undefined;
  }

  private constructor(programs: string, threads: number) {
    this.#programs = programs;
    this.#threads = threads;
  }

  /** Tokens per second of one prompt, after a warm-up. */
  async prefill(model: string, tokens: number): Promise<number> {
    const flags = [
      '-m',
      model,
      '-t',
      `${this.#threads}`,
      '-p',
      `${tokens}`,
      '-n',
      '0',
      '-r',
      '1',
      '-o',
      'json',
    ];
    const { stdout } = await run(join(this.#programs, 'llama-bench'), flags);
    const [result] = JSON.parse(stdout) as readonly { readonly avg_ts: number }[];
    return result!.avg_ts;
  }

  /** Tokens per second of decoding, all sequences together, for each number of sequences. */
  async decode(
    model: string,
    batches: readonly number[],
    promptTokens: number,
    steps: number,
  ): Promise<number[]> {
    const context = Math.max(...batches) * (promptTokens + steps);
    const { stdout } = await run(join(this.#programs, 'llama-batched-bench'), [
      ...['-m', model, '-t', `${this.#threads}`, '-tb', `${this.#threads}`, '-c', `${context}`],
      ...[
        '-npp',
        `${promptTokens}`,
        '-ntg',
        `${steps}`,
        '-npl',
        batches.join(','),
        '--output-format',
        'jsonl',
      ],
    ]);
    return stdout
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => (JSON.parse(line) as { readonly speed_tg: number }).speed_tg);
  }
}
