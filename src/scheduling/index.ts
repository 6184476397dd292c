/**
 * The choice among endpoints. Pure: no I/O, no clock, no log. Imports nothing of ours.
 * This file is the package's public `pointsman/scheduling`, the only import a plugin needs.
 */
export type { AdapterPlacement } from './adapters.ts';
export { adapterPlacement, isKnownAdapter } from './adapters.ts';
export { scoresOfCosts } from './cost-scores.ts';
export type { CostWeights, Pressure } from './cost-table.ts';
export { CostTable, CostTerms } from './cost-table.ts';
export { memoryWaitMs, ownPrefillMs, prefillWork, uncachedTokens } from './delay-estimate.ts';
export type {
  DisaggregationParameters,
  Placement,
  PlacementQuestion,
} from './disaggregation.ts';
export { Disaggregation, defaultDisaggregation } from './disaggregation.ts';
export type { Endpoint, EndpointInFlight, EndpointLearned, EndpointMetrics } from './endpoint.ts';
export { blockSize, EndpointList } from './endpoint-list.ts';
export { EndpointRows } from './endpoint-rows.ts';
export type { InferenceRequest, PrefixHashes, Slo } from './inference-request.ts';
export { emptyPrefix } from './inference-request.ts';
export {
  estimateKvCacheUsage,
  estimateQueues,
  estimateRequests,
  scoreLess,
  scoreMinMax,
  scrapedFigures,
} from './load-estimate.ts';
export type {
  ChoiceListener,
  Filter,
  FilterDefinition,
  FirstPicker,
  Lead,
  LeadFinder,
  Parameters,
  ParameterValue,
  Picker,
  PickerDefinition,
  PluginDefinition,
  ScoredEndpoint,
  Scorer,
  ScorerDefinition,
  Scores,
  ScoreTerm,
  Steadiness,
} from './plugins.ts';
export { defineFilter, definePicker, defineScorer, steady, withTerms } from './plugins.ts';
export { matchedShare } from './prefix-share.ts';
export type { Profile, ProfileOptions } from './profile.ts';
export { createProfile } from './profile.ts';
export { RecentBlocks } from './recent-blocks.ts';
export type { SchedulingContext } from './scheduling-context.ts';
export type {
  CandidateState,
  FilterStep,
  PluginFailure,
  SchedulingResult,
  ScoreStep,
} from './scheduling-result.ts';
export { SessionPins } from './session-pins.ts';
