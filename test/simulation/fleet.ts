import { type EngineModel, enginePresets } from '../../src/simulation/engine-model.ts';
import type { RouterFactory } from '../../src/simulation/router.ts';
import { type SimulationOptions, type SimulationResult, simulate } from '../../src/simulation/simulation.ts';
import { blockTokens, type WorkloadRequest } from '../../src/simulation/workload.ts';
import { workloadRequest } from '../../src/simulation/workload-request.ts';

export const model: EngineModel = enginePresets['llama8b-h100'];

let nextBlock = 1_000_000;

/** A request whose blocks are its own, unless given. */
export function request(
  arrivalMs: number,
  promptTokens: number,
  outputTokens: number,
  blocks?: readonly number[],
): WorkloadRequest {
  const count = Math.ceil(promptTokens / blockTokens);
  return workloadRequest({
    id: `request-${nextBlock}`,
    arrivalMs,
    promptTokens,
    outputTokens,
    blocks: Int32Array.from({ length: count }, (_, i) => blocks?.[i] ?? nextBlock++),
  });
}

/** Engines in turn, without any of the product. */
export const inTurn: RouterFactory = ({ dispatch, models }) => {
  let turn = 0;
  return {
    decisions: 0,
    arrive: (running) => void dispatch(running, turn++ % models.length),
    firstToken() {},
    ended() {},
  };
};

export function run(
  arrivals: readonly WorkloadRequest[],
  options: Partial<SimulationOptions> = {},
): SimulationResult {
  return simulate({
    source: { arrivals },
    model,
    pods: 1,
    seed: 1,
    scrapeMs: 50,
    routers: 1,
    router: inTurn,
    faults: [],
    maxMs: Number.POSITIVE_INFINITY,
    ...options,
  });
}
