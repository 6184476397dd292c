import type { Parameters, ParameterValue } from '../scheduling/index.ts';
import { didYouMean } from './nearest-name.ts';
import { found } from './schema-problems.ts';

export interface ParameterProblem {
  readonly parameter: string;
  readonly isUnknown: boolean;
  readonly message: string;
}

/** What a configuration gives, over the plugin's defaults; a value must have the type of its default. */
export function mergeParameters(
  given: Readonly<Record<string, unknown>>,
  defaults: Parameters,
): { readonly parameters: Parameters; readonly problems: readonly ParameterProblem[] } {
  const known = Object.keys(defaults);
  const problems: ParameterProblem[] = [];
  for (const [parameter, value] of Object.entries(given)) {
    const usual = defaults[parameter];
    if (usual === undefined) {
      const list = known.length === 0 ? 'It takes none.' : `Known: ${known.join(', ')}.`;
      const message = `unknown parameter "${parameter}".${didYouMean(parameter, known)} ${list}`;
      problems.push({ parameter, isUnknown: true, message });
    } else if (!hasTypeOf(value, usual)) {
      const message = `expected ${typeName(usual)} like ${JSON.stringify(usual)}, found ${found(value)}`;
      problems.push({ parameter, isUnknown: false, message });
    }
  }
  return { parameters: Object.freeze({ ...defaults, ...given }) as Parameters, problems };
}

function hasTypeOf(value: unknown, usual: ParameterValue): boolean {
  if (Array.isArray(usual)) return Array.isArray(value) && value.every((item) => typeof item === 'string');
  return typeof value === typeof usual && !(typeof value === 'number' && !Number.isFinite(value));
}

function typeName(value: ParameterValue): string {
  return Array.isArray(value) ? 'a list of strings' : `a ${typeof value}`;
}
