import type { StepBatch } from '../../../src/engine/native/native.ts';
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

  override step(batch: StepBatch): void {
    super.step(batch);
    for (let sample = 0; sample < batch.samples; sample++) {
      const draw = batch.samplingInts[sample * SAMPLING_INTS + SamplingInt.Draw]!;
      batch.sampledIds[sample] = this.#script[draw] ?? fakeEos;
    }
  }
}
