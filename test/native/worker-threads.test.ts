import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { loadNative } from '../../src/engine/native/load.ts';
import { blocksFor, dummyPlan, logitsOf, prompt, withModel } from './sequences.ts';

const built = fileURLToPath(new URL('../../build/pointsman_native.node', import.meta.url));
const addon = process.env['POINTSMAN_NATIVE_ADDON'] ?? built;

/** Opens a model in a worker, answers with the logits of one step, and keeps it open until it is stopped. */
const WORKER = `
  const { parentPort, workerData } = require('node:worker_threads');
  const native = require(workerData.addon);
  const model = native.open(workerData.plan);
  parentPort.on('message', ({ batch, logits }) => {
    model.step(batch, logits);
    parentPort.postMessage(logits);
  });
`;

const plan = dummyPlan({ threads: 2 });
const tokens = prompt(50, 3, plan.vocabSize);
const part = { tokens, start: 0, blocks: blocksFor(50, 0) };

async function answerOf(worker: Worker): Promise<Float32Array> {
  const { batchOf } = await import('./sequences.ts');
  worker.postMessage({ batch: batchOf([part]), logits: new Float32Array(plan.vocabSize) });
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}

describe('in worker threads', () => {
  it('several models compute side by side, the same bits as on the main thread', async () => {
    const native = loadNative();
    const expected = withModel(native, plan, (model) => logitsOf(model, [part], plan.vocabSize)[0]!);
    const workers = [0, 1, 2].map(() => new Worker(WORKER, { eval: true, workerData: { addon, plan } }));
    const answers = await Promise.all(workers.map(answerOf));
    for (const answer of answers) expect(answer).toEqual(expected);
    await Promise.all(workers.map((worker) => worker.terminate()));
  });

  it('ending a worker closes the model that it left open', async () => {
    const big = { ...plan, blocks: 20_000 };
    const cycle = async () => {
      const worker = new Worker(WORKER, { eval: true, workerData: { addon, plan: big } });
      await answerOf(worker);
      await worker.terminate();
    };
    await cycle();
    const before = process.memoryUsage().rss;
    for (let i = 0; i < 5; i++) await cycle();
    // Weights and pages touched are about 3 MB a model; threads and their stacks must be gone as well.
    expect((process.memoryUsage().rss - before) / 1e6).toBeLessThan(40);
  });
});
