/** Tokens of one request. */
export interface Lengths {
  readonly prompt: number;
  readonly output: number;
}

export interface LengthOptions {
  readonly count: number;
  readonly promptMean: number;
  readonly outputMean: number;
  /** Prompt and output together. */
  readonly longest: number;
  readonly seed: number;
}

/** Spread of the logarithms, about that of ShareGPT. */
const sigma = 1;

/** Log-normal lengths with these means before they are cut at `longest`; a function of the seed. */
export function logNormalLengths(options: LengthOptions): readonly Lengths[] {
  const normal = createNormal(options.seed);
  const draw = (mean: number) => Math.max(1, Math.round(mean * Math.exp(sigma * normal() - sigma ** 2 / 2)));
  return Array.from({ length: options.count }, () => {
    const prompt = Math.min(draw(options.promptMean), options.longest - 1);
    return { prompt, output: Math.min(draw(options.outputMean), options.longest - prompt) };
  });
}

/** Box and Muller over a linear congruential generator. */
function createNormal(seed: number): () => number {
  let state = seed >>> 0;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}
