import { didYouMean } from '../nearest-name.ts';
import type { SchemaProblem } from '../schema-problems.ts';
import type { EndpointPickerConfig } from './endpoint-picker-config.ts';
import { problem } from './instances.ts';

const featureGates = ['flowControl', 'haPopulateNonLeaderDatastore'];

/** What is wrong with the sections that are no plugins, and which of them have no effect. */
export function sectionProblems(config: EndpointPickerConfig): {
  readonly errors: readonly SchemaProblem[];
  readonly warnings: readonly SchemaProblem[];
} {
  const { dataLayer, flowControl } = config;
  const errors: SchemaProblem[] = [];
  const warnings: SchemaProblem[] = [];
  let hasFlowControl = false;
  for (const [at, text] of config.featureGates.entries()) {
    const [gate = '', state = 'true'] = text.split('=');
    if (!featureGates.includes(gate))
      errors.push(
        problem(['featureGates', at], `unknown feature gate "${gate}".${didYouMean(gate, featureGates)}`),
      );
    else if (state !== 'true' && state !== 'false')
      errors.push(problem(['featureGates', at], `expected ${gate}=true or ${gate}=false, found "${text}"`));
    else if (gate === 'flowControl' && state === 'true') {
      hasFlowControl = true;
      errors.push(
        problem(
          ['featureGates', at],
          'flowControl is refused: requests do not wait in this picker yet, so priorities and fairness would be lost; remove the gate to send every request at once',
        ),
      );
    }
  }
  if (flowControl !== undefined && !hasFlowControl) {
    const keys = Object.keys(flowControl).filter((key) => key !== 'saturationDetector');
    for (const key of keys)
      warnings.push(
        problem(['flowControl', key], 'is ignored: without the feature gate flowControl llm-d does so, too'),
      );
  }
  errors.push(...priorityProblems(flowControl));
  if (dataLayer?.injectDefaults === false && dataLayer.sources.length === 0)
    warnings.push(problem(['dataLayer', 'injectDefaults'], 'is ignored: engines are always scraped'));
  for (const key of ['peerDiscovery', 'crossReplicaSyncerPluginRef', 'crossReplicaSyncInterval'] as const)
    if (dataLayer?.[key] !== undefined)
      warnings.push(problem(['dataLayer', key], 'is ignored: replicas do not share their counts'));
  return { errors, warnings };
}

function priorityProblems(flowControl: EndpointPickerConfig['flowControl']): SchemaProblem[] {
  const seen = new Set<number>();
  return (flowControl?.priorityBands ?? []).flatMap(({ priority }, at) => {
    const isSecond = seen.has(priority);
    seen.add(priority);
    return isSecond
      ? [problem(['flowControl', 'priorityBands', at, 'priority'], `a second band of priority ${priority}`)]
      : [];
  });
}
