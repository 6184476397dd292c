import type { EngineCore } from '../../src/engine/engine-core.ts';
import type { EngineOptions } from '../../src/engine/engine-options.ts';
import { openEngine } from '../../src/engine/open-engine.ts';
import { defaultSamplingParams } from '../../src/engine/sampling-params.ts';
import { toOpenOptions } from '../../src/engine/to-open-options.ts';

export interface Agreement {
  readonly prompts: number;
  /** Outputs that differ from the CPU's, first at a token that the CPU held for all but a tie. */
  readonly parted: number;
  /** Outputs that differ anywhere else. */
  readonly unexplained: number;
  /** Outputs that are the same on the GPU whether alone or in a batch. */
  readonly alone: number;
}

interface Token {
  readonly tokenId: number;
  readonly margin: number;
}

const outputTokens = 32;
/** Nats between the two best tokens below which rounding may choose either. */
const tieMargin = 0.05;

/** Greedy output of a model on the GPU, in one batch and alone, against the CPU's. */
export function agreement(
  model: string,
  prompts: number,
  options: Partial<EngineOptions>,
  cuda: { readonly library: string | undefined; readonly kernels: string | undefined },
): Agreement {
  const run = (device: 'cpu' | 'cuda', isAlone: boolean) => {
    const sized = { ...options, model, device, maxModelLen: 1024, numGpuBlocksOverride: 4096 };
    const opening = { ...toOpenOptions(sized, []), hasPrefixCaching: false };
    const { core } = openEngine({
      ...opening,
      ...(cuda.library === undefined ? {} : { cudaLibrary: cuda.library }),
      cudaKernels: cuda.kernels,
    });
    const answers = isAlone
      ? Array.from({ length: prompts }, (_, id) => answersOf(core, [id])[0]!)
      : answersOf(core, [...Array(prompts).keys()]);
    core.close();
    return answers;
  };
  const expected = run('cpu', false);
  const batched = run('cuda', false);
  const alone = run('cuda', true);
  const same = (a: readonly Token[], b: readonly Token[]) =>
    a.every(({ tokenId }, i) => tokenId === b[i]!.tokenId);
  const differing = expected.flatMap((tokens, id) => {
    const at = tokens.findIndex(({ tokenId }, i) => tokenId !== batched[id]![i]!.tokenId);
    return at < 0 ? [] : [tokens[at]!.margin];
  });
  return {
    prompts,
    parted: differing.filter((margin) => margin <= tieMargin).length,
    unexplained: differing.filter((margin) => margin > tieMargin).length,
    alone: alone.filter((tokens, id) => same(tokens, batched[id]!)).length,
  };
}

function answersOf(core: EngineCore, ids: readonly number[]): Token[][] {
  for (const id of ids) {
    const promptTokens = Array.from(
      { length: 5 + ((id * 37) % 300) },
      (_, i) => 3 + ((id * 31 + i * i * 7) % 3000),
    );
    core.add({
      id,
      promptTokens,
      choices: 1,
      priority: 0,
      cacheSalt: undefined,
      sampling: {
        ...defaultSamplingParams,
        temperature: 0,
        maxTokens: outputTokens,
        ignoreEos: true,
        logprobs: 2,
      },
    });
  }
  const answers = new Map<number, Token[]>(ids.map((id) => [id, []]));
  while (core.hasWork)
    for (const { requestId, tokenId, logprobs } of core.step()) {
      const [best = 0, second = 0] = logprobs?.topLogprobs ?? [];
      answers.get(requestId)?.push({ tokenId, margin: best - second });
    }
  return ids.map((id) => answers.get(id)!);
}
