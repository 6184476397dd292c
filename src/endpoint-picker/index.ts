/**
 * The decision service: a request in, an assignment out, a record of why.
 *
 * Owns the assignments being served and the ring of recent records. Imports `scheduling`, `pool`,
 * `prefix-index`, `flow-control` and `protocol`. Adapters know only the types of `assignment.ts`.
 * `remote/` is the same seam between processes: `RemotePlacer` at the door, `PlacingHost` at the picker.
 */
export type {
  Assignment,
  EndpointPicker,
  Outcome,
  PickListener,
  PickOptions,
  Placement,
  RequestPlacer,
  SubmitOptions,
} from './assignment.ts';
export {
  type DecisionLine,
  decisionLine,
  decisionLineVersion,
  decodeHashes,
} from './decision-line.ts';
export type { DecideOptions } from './decision-maker.ts';
export type { DecisionRecord } from './decision-record.ts';
export type { EndpointPickerOptions, InspectableEndpointPicker } from './endpoint-picker.ts';
export { createEndpointPicker } from './endpoint-picker.ts';
export type { FinishedRequest, PickerObserver } from './finished-request.ts';
export type { Objective, RequestRules } from './inference-request.ts';
export type { FlowControlSettings } from './late-binding.ts';
export {
  type ModelAlias,
  type ModelRewriteRule,
  modelAliases,
  modelRewrites,
  type RewriteModel,
} from './model-rewrites.ts';
export { readyFirst } from './ready-first.ts';
export { maxReplyFrameBytes, maxRequestFrameBytes } from './remote/frame-kinds.ts';
export { FrameLink } from './remote/frame-link.ts';
export { PlacingHost } from './remote/placing-host.ts';
export { RemotePlacer } from './remote/remote-placer.ts';
export type { RoomRule } from './room-rule.ts';
export { type RuleSettings, requestRules } from './rule-settings.ts';
