/** Which model a request really goes to: aliases, canaries and a default, as the configuration tells. */

export interface ModelRewriteRule {
  /** The model that clients ask for; undefined = any, also none. */
  readonly match?: string | undefined;
  readonly targets: readonly ModelTarget[];
}

export interface ModelTarget {
  readonly model: string;
  /** Share of the requests; one without is never chosen beside others that have one. */
  readonly weight?: number | undefined;
}

/** The model to use instead of this one, or of none; undefined = leave it. */
export type RewriteModel = (model: string | undefined) => string | undefined;

/** A name that clients may use for other models. */
export interface ModelAlias {
  readonly name: string;
  /** The models that a request for it may go to. */
  readonly targets: readonly string[];
}

/** The names that rules make up, the first rule of each. */
export function modelAliases(rules: readonly ModelRewriteRule[]): readonly ModelAlias[] {
  const aliases = new Map<string, ModelAlias>();
  for (const { match, targets } of rules) {
    if (match === undefined || aliases.has(match)) continue;
    aliases.set(match, { name: match, targets: targets.map(({ model }) => model) });
  }
  return [...aliases.values()];
}

/** The first exact rule wins, then the first generic one. `random` is uniform in [0, 1). */
export function modelRewrites(rules: readonly ModelRewriteRule[], random: () => number): RewriteModel {
  const exact = new Map<string, ModelRewriteRule>();
  for (const rule of rules) {
    if (rule.match !== undefined && !exact.has(rule.match)) exact.set(rule.match, rule);
  }
  const generic = rules.find(({ match }) => match === undefined);
  return (model) => {
    const rule = (model === undefined ? undefined : exact.get(model)) ?? generic;
    return rule === undefined ? undefined : chooseTarget(rule.targets, random);
  };
}

function chooseTarget(targets: readonly ModelTarget[], random: () => number): string | undefined {
  const total = targets.reduce((sum, { weight = 0 }) => sum + weight, 0);
  if (total === 0) return targets[Math.floor(random() * targets.length)]?.model;
  let left = random() * total;
  for (const { model, weight = 0 } of targets) {
    left -= weight;
    if (left < 0) return model;
  }
  return targets.findLast(({ weight = 0 }) => weight > 0)?.model;
}
