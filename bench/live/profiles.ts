import { type StrategyName, strategyNames } from '../../src/configuration/strategies.ts';

export interface LiveProfile {
  readonly name: string;
  /** Of a configuration, beside its endpoints. */
  readonly yaml: string;
}

const compared: readonly StrategyName[] = ['llm-d-3-2-2', 'round-robin', 'default'];

/** All that `--profile` knows: every strategy by its name. */
export const profiles: readonly LiveProfile[] = strategyNames.map((name) => ({
  name,
  // The default is what serves without a configuration.
  yaml: name === 'default' ? '' : `profile: { strategy: ${name} }`,
}));

/** Those compared unless others are named; the first is the reference. */
export const comparedProfiles = compared.map((name) => profiles.find((each) => each.name === name)!);
