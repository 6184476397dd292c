import { didYouMean } from '../nearest-name.ts';
import type { SchemaProblem } from '../schema-problems.ts';
import type { EndpointPickerConfig } from './endpoint-picker-config.ts';
import { flowControlSettings } from './flow-control-settings.ts';
import { problem } from './instances.ts';
import type { Setting } from './plugin-type.ts';

const featureGates = ['flowControl', 'haPopulateNonLeaderDatastore'];

/** What the sections that are no plugins come to, what is wrong with them, and which have no effect. */
export function readSections(config: EndpointPickerConfig): {
  readonly errors: readonly SchemaProblem[];
  readonly warnings: readonly SchemaProblem[];
  /** Of flow control; empty while it is off. */
  readonly settings: readonly Setting[];
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
    else if (gate === 'flowControl') hasFlowControl = state === 'true';
  }
  if (flowControl !== undefined && !hasFlowControl) {
    const keys = Object.keys(flowControl).filter((key) => key !== 'saturationDetector');
    for (const key of keys)
      warnings.push(
        problem(['flowControl', key], 'is ignored: without the feature gate flowControl llm-d does so, too'),
      );
  }
  const flow = hasFlowControl ? flowControlSettings(flowControl ?? {}) : { settings: [], warnings: [] };
  warnings.push(...flow.warnings);
  errors.push(...priorityProblems(flowControl));
  if (dataLayer?.injectDefaults === false && dataLayer.sources.length === 0)
    warnings.push(problem(['dataLayer', 'injectDefaults'], 'is ignored: engines are always scraped'));
  for (const key of ['peerDiscovery', 'crossReplicaSyncerPluginRef', 'crossReplicaSyncInterval'] as const)
    if (dataLayer?.[key] !== undefined)
      warnings.push(problem(['dataLayer', key], 'is ignored: replicas do not share their counts'));
  return { errors, warnings, settings: flow.settings };
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
