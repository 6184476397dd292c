import { didYouMean } from '../nearest-name.ts';
import type { SchemaProblem } from '../schema-problems.ts';
import { problem } from './instances.ts';

const gates = ['flowControl', 'haPopulateNonLeaderDatastore'];

/** Of older versions. */
const goneGates = ['dataLayer', 'prepareDataPlugins', 'enableLegacyMetrics'];

/** As Go reads them, in lower case. */
const states: Readonly<Record<string, boolean>> = {
  true: true,
  t: true,
  '1': true,
  false: false,
  f: false,
  '0': false,
};

/** `name`, `name=true` or `name=false`; the last mention of a gate counts. */
export function readFeatureGates(entries: readonly string[]): {
  readonly hasFlowControl: boolean;
  readonly errors: readonly SchemaProblem[];
  readonly warnings: readonly SchemaProblem[];
} {
  const errors: SchemaProblem[] = [];
  const warnings: SchemaProblem[] = [];
  let hasFlowControl = false;
  for (const [at, text] of entries.entries()) {
    const path = ['featureGates', at];
    const [gate = '', written = 'true'] = text.split('=');
    const state = states[written.trim().toLowerCase()];
    if (goneGates.includes(gate))
      warnings.push(problem(path, `${gate} is ignored: llm-d has it no more; remove it`));
    else if (!gates.includes(gate))
      errors.push(
        problem(
          path,
          `unknown feature gate "${gate}".${didYouMean(gate, gates)} Gates: ${gates.join(', ')}.`,
        ),
      );
    else if (state === undefined)
      errors.push(problem(path, `expected ${gate}=true or ${gate}=false, found "${text}"`));
    else if (gate === 'flowControl') hasFlowControl = state;
  }
  return { hasFlowControl, errors, warnings };
}
