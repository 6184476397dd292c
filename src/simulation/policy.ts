import type { RoomRule } from '../endpoint-picker/room-rule.ts';
import type { FlowControlLimits } from '../flow-control/index.ts';
import type { DisaggregationParameters } from '../scheduling/disaggregation.ts';
import type { ProfileOptions } from '../scheduling/profile.ts';
import type { EngineModel } from './engine-model.ts';
import type { Random } from './random.ts';

/** What a policy may know when it is set up for a run. */
export interface PolicyEnvironment {
  readonly model: EngineModel;
  readonly pods: number;
  readonly random: Random;
}

export interface DisaggregationPolicy {
  /** Share of the engines that only prefill; they come first. */
  readonly prefillShare: number;
  readonly parameters: DisaggregationParameters;
  /** The rule of algorithm C, or the uncached tokens from which on a prompt is always prefilled elsewhere. */
  readonly rule: 'drift' | { readonly uncachedTokens: number };
}

/** One way to route: a profile of the product, and what it needs besides. */
export interface PolicyInstance {
  readonly profile: ProfileOptions;
  /** What the router believes to be cached: by its own decisions and their ends, by what it sent alone, or by KV events. */
  readonly residency: 'approximate' | 'sent' | 'events';
  /** Some engines only prefill, and send what they computed to those that decode. */
  readonly disaggregation?: DisaggregationPolicy | undefined;
  /** Requests wait until their endpoint has room. */
  readonly flowControl?: { readonly room: RoomRule; readonly limits: FlowControlLimits } | undefined;
}

export interface Policy {
  /** As `--policy` and the table name it. */
  readonly name: string;
  readonly description: string;
  readonly create: (environment: PolicyEnvironment) => PolicyInstance;
}
