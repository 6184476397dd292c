import type { StepInputs } from '../../../src/engine/native/native.ts';
import { SAMPLING_INTS, SamplingInt } from '../../../src/engine/native/native.ts';
import { fakeEos } from './fake-core.ts';
import { FakeModel } from './fake-model.ts';

/** Writes one text, byte by byte, whatever it is asked, and then ends. */
export class ScriptedModel extends FakeModel {
  readonly #script: Uint8Array;

  constructor(text: string, blocks = 128) {
    super({ blocks, blockSize: 16, vocabSize: 256 });
    this.#script = Buffer.from(text, 'utf8');
  }

  protected override chosen(batch: StepInputs, sample: number): number {
    const draw = batch.samplingInts[sample * SAMPLING_INTS + SamplingInt.Draw]!;
    return this.#script[draw] ?? fakeEos;
  }
}
