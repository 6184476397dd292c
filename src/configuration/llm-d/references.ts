import { didYouMean } from '../nearest-name.ts';
import type { Path } from '../problems.ts';
import type { SchemaProblem } from '../schema-problems.ts';
import type { EndpointPickerConfig } from './endpoint-picker-config.ts';
import { problem } from './instances.ts';
import type { Role } from './plugin-type.ts';
import { pluginTypes } from './plugins/index.ts';

interface Reference {
  readonly path: Path;
  readonly ref: string;
  /** llm-d makes a plugin of this type by itself when none is listed. */
  readonly mayBeType: boolean;
  readonly role?: Role;
}

/** Every reference must name a plugin of the document, and one that can do the work. */
export function referenceProblems(config: EndpointPickerConfig): SchemaProblem[] {
  const types = new Map(config.plugins.map(({ name, type }) => [name ?? type, type]));
  return references(config).flatMap(({ path, ref, mayBeType, role }) => {
    const type = types.get(ref) ?? (mayBeType && pluginTypes.has(ref) ? ref : undefined);
    if (type === undefined) {
      const known = [...types.keys()];
      return [
        problem(path, `there is no plugin "${ref}".${didYouMean(ref, known)} Plugins: ${known.join(', ')}.`),
      ];
    }
    const definition = pluginTypes.get(type);
    if (definition === undefined || role === undefined || definition.roles.includes(role)) return [];
    return [problem(path, `"${ref}" is a ${type}, which is no ${role} plugin`)];
  });
}

/** The plugin that names the endpoints; `endpoints` beats the key before it. */
export function discoveryReference({
  dataLayer,
}: EndpointPickerConfig): { readonly path: Path; readonly ref: string } | undefined {
  const { endpoints, pluginRef } = dataLayer?.discovery ?? {};
  const path = ['dataLayer', 'discovery'];
  if (endpoints !== undefined) return { path: [...path, 'endpoints', 'pluginRef'], ref: endpoints.pluginRef };
  return pluginRef ? { path: [...path, 'pluginRef'], ref: pluginRef } : undefined;
}

/** The parsers that the document asks for. */
export function parserReferences({ requestHandler, parser }: EndpointPickerConfig): Reference[] {
  const own = (requestHandler?.parsers ?? []).map(({ pluginRef }, at) => ({
    path: ['requestHandler', 'parsers', at, 'pluginRef'],
    ref: pluginRef,
  }));
  const old = parser === undefined ? [] : [{ path: ['parser', 'pluginRef'], ref: parser.pluginRef }];
  return [...own, ...old].map((each) => ({ ...each, mayBeType: true, role: 'parser' }));
}

function references(config: EndpointPickerConfig): Reference[] {
  const { schedulingProfiles, dataLayer, flowControl, saturationDetector } = config;
  const found: Reference[] = [...parserReferences(config)];
  const add = (path: Path, ref: string | undefined, mayBeType: boolean, role?: Role) => {
    if (ref !== undefined && ref !== '')
      found.push({ path, ref, mayBeType, ...(role === undefined ? {} : { role }) });
  };
  for (const [at, { plugins }] of schedulingProfiles.entries())
    for (const [index, { pluginRef }] of plugins.entries())
      add(['schedulingProfiles', at, 'plugins', index, 'pluginRef'], pluginRef, false);
  for (const [at, { pluginRef, extractors }] of (dataLayer?.sources ?? []).entries()) {
    add(['dataLayer', 'sources', at, 'pluginRef'], pluginRef, false, 'data');
    for (const [index, extractor] of extractors.entries())
      add(['dataLayer', 'sources', at, 'extractors', index, 'pluginRef'], extractor.pluginRef, false, 'data');
  }
  const discovery = discoveryReference(config);
  if (discovery !== undefined) add(discovery.path, discovery.ref, false, 'data');
  add(['saturationDetector', 'pluginRef'], saturationDetector?.pluginRef, true, 'flow control');
  const detector = flowControl?.saturationDetector?.pluginRef;
  add(['flowControl', 'saturationDetector', 'pluginRef'], detector, true, 'flow control');
  for (const key of ['usageLimitPolicyPluginRef', 'bandSelectionPolicyPluginRef'] as const)
    add(['flowControl', key], flowControl?.[key], true, 'flow control');
  const bands: readonly (readonly [Path, Band | undefined])[] = [
    [['flowControl', 'defaultPriorityBand'], flowControl?.defaultPriorityBand],
    [['flowControl', 'defaultNegativePriorityBand'], flowControl?.defaultNegativePriorityBand],
    ...(flowControl?.priorityBands ?? []).map(
      (band, at) => [['flowControl', 'priorityBands', at], band] as const,
    ),
  ];
  for (const [path, band] of bands) {
    add([...path, 'fairnessPolicyRef'], band?.fairnessPolicyRef, true, 'flow control');
    add([...path, 'orderingPolicyRef'], band?.orderingPolicyRef, true, 'flow control');
  }
  return found;
}

type Band = NonNullable<NonNullable<EndpointPickerConfig['flowControl']>['defaultPriorityBand']>;
