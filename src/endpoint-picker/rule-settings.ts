import type { Objective, RequestRules } from './inference-request.ts';
import { type ModelRewriteRule, modelAliases, modelRewrites } from './model-rewrites.ts';

/** What `RequestRules` are made of, as plain data that can go to another process. */
export interface RuleSettings {
  readonly objectives: Readonly<Record<string, Objective>>;
  readonly modelRewrites: readonly ModelRewriteRule[];
  readonly tenantHeader: string | undefined;
}

/** `random` is uniform in [0, 1). */
export function requestRules(settings: RuleSettings, random: () => number): RequestRules {
  return {
    objectives: new Map(Object.entries(settings.objectives)),
    rewriteModel: modelRewrites(settings.modelRewrites, random),
    modelAliases: modelAliases(settings.modelRewrites),
    tenantHeader: settings.tenantHeader,
  };
}
