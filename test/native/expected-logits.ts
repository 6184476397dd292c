import type { AdapterSource, ModelPlan, NativeModule } from '../../src/engine/native/native.ts';
import { blocksFor, logitsOf, withModel } from './sequences.ts';

/** Logits that a reference computed for a few rows of a few prompts. */
export interface ExpectedLogits {
  readonly cases: readonly {
    readonly prompt: readonly number[];
    readonly rows: readonly { readonly row: number; readonly logits: readonly number[] }[];
  }[];
}

/** The largest difference of a row, relative to its largest logit. */
export function largest(expected: readonly number[], found: Float32Array): number {
  const worst = Math.max(...expected.map((value, id) => Math.abs(value - found[id]!)));
  return worst / Math.max(...expected.map(Math.abs));
}

/** The difference of a whole row by root mean square: where values are rounded, single logits scatter. */
export function rootMeanSquare(expected: readonly number[], found: Float32Array): number {
  const norm = (values: readonly number[]) => Math.hypot(...values);
  return norm(expected.map((value, id) => value - found[id]!)) / norm(expected);
}

/** Per row: how far it is from the expected one. */
export function differences(
  native: Pick<NativeModule, 'open'>,
  plan: ModelPlan,
  expected: ExpectedLogits,
  measure = largest,
  adapter?: AdapterSource,
): readonly number[] {
  return withModel(native, plan, (model) => {
    if (adapter !== undefined) model.loadAdapter(0, adapter);
    return expected.cases.flatMap(({ prompt, rows }) => {
      const part = {
        tokens: prompt,
        adapter: adapter === undefined ? -1 : 0,
        start: 0,
        blocks: blocksFor(prompt.length, 3, 2),
        rows: rows.map(({ row }) => row),
      };
      const found = logitsOf(model, [part], plan.vocabSize);
      return rows.map(({ logits }, i) => measure(logits, found[i]!));
    });
  });
}
