import type { SchemaProblem } from '../schema-problems.ts';
import type { EndpointPickerConfig } from './endpoint-picker-config.ts';
import { readFeatureGates } from './feature-gates.ts';
import { flowControlSettings } from './flow-control-settings.ts';
import { problem } from './instances.ts';
import type { Setting } from './plugin-type.ts';

const notShared = 'is ignored: replicas do not share their counts';
const replicaKeys = [
  'peerDiscovery',
  'crossReplica',
  'crossReplicaSyncerPluginRef',
  'crossReplicaSyncInterval',
  'crossReplicaPublishTimeout',
] as const;

/** What the sections that are no plugins come to, what is wrong with them, and which have no effect. */
export function readSections(config: EndpointPickerConfig): {
  readonly errors: readonly SchemaProblem[];
  readonly warnings: readonly SchemaProblem[];
  /** Of flow control; empty while it is off. */
  readonly settings: readonly Setting[];
} {
  const { dataLayer, flowControl } = config;
  const { hasFlowControl, ...gates } = readFeatureGates(config.featureGates);
  const errors = [...gates.errors];
  const warnings = [...gates.warnings];
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
  for (const key of replicaKeys)
    if (dataLayer?.[key] !== undefined) warnings.push(problem(['dataLayer', key], notShared));
  if (dataLayer?.discovery?.peers !== undefined)
    warnings.push(problem(['dataLayer', 'discovery', 'peers'], notShared));
  if (config.requestHandler?.propagatePriority === true)
    warnings.push(
      problem(
        ['requestHandler', 'propagatePriority'],
        'is ignored: engines get the body as it came, without a `priority` of ours',
      ),
    );
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
