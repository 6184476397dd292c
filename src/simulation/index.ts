/**
 * Fleets of engines in simulated time, routed by the product's own pool, prefix index and profiles.
 * Owns nothing outside a run. May import scheduling, pool, prefix-index, flow-control and endpoint-picker;
 * nothing of the product imports it but `commands/simulate`.
 */
export { type EngineModel, type EnginePresetName, enginePresets } from './engine-model.ts';
export { type ExperimentResult, runExperiment, type Scenario } from './experiment.ts';
export { type FloodMeasures, type FloodOptions, measureFlood } from './flood.ts';
export { type TtftBounds, ttftBounds } from './lower-bound.ts';
export type { RunMeasures } from './measures.ts';
export { svgPlot } from './plot.ts';
export { findPolicy, policies } from './policies/index.ts';
export type { Policy } from './policy.ts';
export { claimLines, jsonLines, markdownReport } from './report.ts';
export { type SimulationOptions, type SimulationResult, simulate } from './simulation.ts';
export { jainIndex, pairedRatio, tInterval } from './statistics.ts';
export { readTrace } from './trace-file.ts';
export type { Workload } from './workload.ts';
export { findWorkload, workloads } from './workloads/index.ts';
export { traceWorkload } from './workloads/trace-replay.ts';
