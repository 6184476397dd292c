import { setTimeout as delay } from 'node:timers/promises';
import type { PickerProcess } from './picker-process.ts';
import type { Stage } from './soak.ts';

/** What is broken under load, and how often. `calmMs` of undisturbed load, all of which must be well, lie between. */
export type Disturbance = (times: number, calmMs: number) => (stage: Stage) => Promise<void>;

/** Only the gap is excused: from the kill until the picker is back and a first request was answered. */
const pickerKilled: Disturbance = (times, calmMs) => async (stage) => {
  const [picker] = stage.pickers;
  for (let time = 0; time < times; time++) {
    await delay(calmMs);
    await stage.excuse(async () => {
      await picker!.kill('SIGKILL');
      await picker!.start();
      await stage.answered();
    });
  }
  await delay(calmMs);
};

/** Two pickers, of which one after the other is replaced, as a rollout does it. Nothing is excused. */
const pickersReplaced: Disturbance = (times, calmMs) => async (stage) => {
  for (let time = 0; time < times; time++) {
    const picker = stage.pickers[time % stage.pickers.length]!;
    await delay(calmMs);
    const code = await picker.kill('SIGTERM');
    if (code !== 0) throw new Error(`pointsman epp ended with exit code ${code} after SIGTERM`);
    await picker.start();
    await delay(recoveryMs);
  }
  await delay(calmMs);
};
/** Envoy asks a picker that it holds for dead again after a second. */
const recoveryMs = 3_000;

/** Excused until the picker has noticed; what comes then goes to the others. */
const engineKilled: Disturbance = (times, calmMs) => async (stage) => {
  const { engines, pickers } = stage;
  for (let time = 0; time < times; time++) {
    const engine = engines[time % engines.length]!;
    await delay(calmMs);
    await stage.excuse(async () => {
      await engine.kill();
      await readyEndpoints(pickers, engines.length - 1);
    });
    await delay(calmMs);
    await engine.start();
    await readyEndpoints(pickers, engines.length);
  }
  await delay(calmMs);
};

async function readyEndpoints(pickers: readonly PickerProcess[], count: number): Promise<void> {
  for (const picker of pickers) while ((await picker.readyEndpoints()) !== count) await delay(20);
}

export const disturbances = { pickerKilled, pickersReplaced, engineKilled };
