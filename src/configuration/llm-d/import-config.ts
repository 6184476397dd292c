import { knownKeysOf, toJsonSchema } from '../json-schema.ts';
import type { Path } from '../problems.ts';
import { type SchemaProblem, schemaProblems } from '../schema-problems.ts';
import { type EndpointPickerConfig, endpointPickerConfigSchema } from './endpoint-picker-config.ts';
import { type Instance, problem, readInstances } from './instances.ts';
import { formatParameters, type MappingRow } from './mapping-table.ts';
import type { Mapping, Setting } from './plugin-type.ts';
import { pluginTypes } from './plugins/index.ts';
import { discoveryReference, parserReferences, referenceProblems } from './references.ts';
import { type SaturationDetector, saturationDetector } from './saturation.ts';
import { schedulingProfile, type Use } from './scheduling-profile.ts';
import { readSections } from './sections.ts';

export interface Imported {
  /** A configuration of ours, not yet validated. */
  readonly value: Readonly<Record<string, unknown>>;
  /** Where the parts of `value` come from. */
  readonly origins: readonly Origin[];
  readonly rows: readonly MappingRow[];
  /** Places in the document; it cannot be run. */
  readonly errors: readonly SchemaProblem[];
  /** What has no effect here. */
  readonly warnings: readonly SchemaProblem[];
}

export interface Origin {
  readonly ours: Path;
  readonly theirs: Path;
}

/**
 * What becomes of each part of llm-d's document, with `gates` after its own. Never throws: mistakes are in `errors`.
 */
export function importEndpointPickerConfig(document: unknown, gates: readonly string[] = []): Imported {
  const parsed = endpointPickerConfigSchema.safeParse(document, { reportInput: true });
  if (!parsed.success) {
    const schema = toJsonSchema(endpointPickerConfigSchema);
    const errors = schemaProblems(parsed.error.issues, (path) => knownKeysOf(schema, path));
    return { value: {}, origins: [], rows: [], errors, warnings: [] };
  }
  const config = { ...parsed.data, featureGates: [...parsed.data.featureGates, ...gates] };
  const { instances, problems } = readInstances(config.plugins);
  const { uses, problems: profileProblems } = schedulingProfile(config, instances);
  const sections = readSections(config);
  const detector = saturationDetector(config, instances);
  const errors = [...problems, ...referenceProblems(config), ...profileProblems, ...sections.errors];
  const warnings = [...sections.warnings];
  const rows: MappingRow[] = [];
  for (const instance of instances) {
    const use = uses?.find((each) => each.instance === instance);
    const unused = uses === undefined ? 'no profile runs' : 'nothing refers to it';
    const ofInstance = rowOf(instance, use, config, unused);
    const row = detector?.instance === instance ? withDetector(ofInstance, detector) : ofInstance;
    rows.push(row);
    const path: Path = ['plugins', instance.at];
    if (row.verdict === 'refused') errors.push(problem(path, `${row.plugin} is refused: ${row.note}`));
    const { mapping } = instance;
    if (mapping.kind === 'settings' && mapping.warning !== undefined)
      warnings.push(problem(path, `${row.plugin}: ${mapping.warning}`));
    if (row.verdict === 'ignored') warnings.push(problem(path, `${row.plugin} is ignored: ${row.note}`));
  }
  for (const { ref, path } of parserReferences(config)) {
    const mapping = instances.some(({ name }) => name === ref) ? undefined : implicitMapping(ref);
    if (mapping?.kind === 'refused') errors.push(problem(path, `${ref} is refused: ${mapping.note}`));
  }
  errors.push(...secondIndexes(instances));
  return {
    ...toConfiguration(instances, uses ?? [], config, sections.settings, detector),
    rows: [...rows, ...implicitRows(uses), ...sectionRows(sections.settings)],
    errors,
    warnings,
  };
}

function implicitMapping(type: string): Mapping | undefined {
  return pluginTypes.get(type)?.map({} as never, { outputRatioOf: () => 0, prefixProblem: () => undefined });
}

function rowOf(
  instance: Instance,
  use: Use | undefined,
  config: EndpointPickerConfig,
  unused: string,
): MappingRow {
  const { name, type, mapping, definition } = instance;
  const plugin = name === type ? type : `${name} (${type})`;
  const isUsed = use !== undefined || isActive(instance, config);
  if (!isUsed && mapping.kind !== 'built in') return { plugin, verdict: 'not used', ours: '', note: unused };
  if (mapping.kind === 'settings') {
    return { plugin, verdict: 'mapped', ours: settingsText(mapping.values), note: mapping.note ?? '' };
  }
  if (mapping.kind !== 'plugin') return { plugin, verdict: mapping.kind, ours: '', note: mapping.note };
  if (use === undefined) {
    const note = definition.roles.includes('flow control') ? (mapping.note ?? '') : unused;
    return {
      plugin,
      verdict: definition.roles.includes('flow control') ? 'ignored' : 'not used',
      ours: '',
      note,
    };
  }
  if (mapping.role === 'scorer' && use.weight === 0)
    return { plugin, verdict: 'not used', ours: '', note: 'its weight is 0' };
  const weight = mapping.role === 'scorer' ? `${use.weight} x ` : '';
  const ours = `${mapping.role} ${weight}${mapping.name}${formatParameters(mapping.parameters)}`;
  return { plugin, verdict: 'mapped', ours, note: mapping.note ?? '' };
}

/** A detector may be a filter of the profile, too. */
function withDetector(row: MappingRow, { setting }: SaturationDetector): MappingRow {
  const asFilter = row.verdict === 'mapped' ? [row.ours] : [];
  const note = 'for the metric flow_control_pool_saturation';
  return {
    ...row,
    verdict: 'mapped',
    ours: [...asFilter, settingsText([setting])].join(', '),
    note: row.note === '' ? note : `${note}; ${row.note}`,
  };
}

function settingsText(settings: readonly Setting[]): string {
  return settings.map(({ path, value }) => `${path.join('.')}: ${short(value)}`).join(', ');
}

function sectionRows(settings: readonly Setting[]): MappingRow[] {
  if (settings.length === 0) return [];
  const note = 'priorities first, tenants in turn by the tokens they were served';
  return [{ plugin: '(flowControl)', verdict: 'mapped', ours: settingsText(settings), note }];
}

function short(value: unknown): string {
  return typeof value === 'number' || typeof value === 'string' ? String(value) : JSON.stringify(value);
}

/** Works by being listed, or is referred to outside the profile. */
function isActive({ name, type, definition }: Instance, config: EndpointPickerConfig): boolean {
  if (type === 'file-discovery') return discoveryReference(config)?.ref === name;
  if (definition.roles.includes('parser')) return parserReferences(config).some(({ ref }) => ref === name);
  return definition.isActiveAlone;
}

function secondIndexes(instances: readonly Instance[]): SchemaProblem[] {
  const indexes = instances.filter(({ type }) => type === 'approx-prefix-cache-producer');
  return indexes
    .slice(1)
    .map(({ at, name }) =>
      problem(
        ['plugins', at],
        `a second prefix index, "${name}"; there is one for all plugins: remove it and what reads it, and size the first for what engines hold in all their tiers`,
      ),
    );
}

/** What llm-d does without being told. */
function implicitRows(uses: readonly Use[] | undefined): MappingRow[] {
  if (uses === undefined) return [];
  const note = 'llm-d picks among ready pods only';
  const rows: MappingRow[] = [{ plugin: '(ready pods)', verdict: 'mapped', ours: 'filter ready', note }];
  if (!uses.some(({ instance }) => instance.definition.roles.includes('picker')))
    rows.push({
      plugin: '(no picker)',
      verdict: 'mapped',
      ours: 'picker max-score',
      note: "llm-d's default",
    });
  return rows;
}

/** Listens on every address, as llm-d's picker does in its pod. */
const everyAddress = { host: '0.0.0.0' };

function toConfiguration(
  instances: readonly Instance[],
  uses: readonly Use[],
  config: EndpointPickerConfig,
  settings: readonly Setting[],
  detector: SaturationDetector | undefined,
): Pick<Imported, 'value' | 'origins'> {
  const origins: Origin[] = [];
  const filters: unknown[] = [{ name: 'ready' }];
  const scorers: unknown[] = [];
  let picker: unknown = { name: 'max-score' };
  let fallbacks = 0;
  for (const { instance, weight } of uses) {
    const { mapping, at } = instance;
    if (mapping.kind !== 'plugin' || (mapping.role === 'scorer' && weight === 0)) continue;
    const { name, parameters } = mapping;
    const theirs = ['plugins', at];
    if (mapping.role === 'filter') {
      origins.push({ ours: ['profile', 'filters', filters.length], theirs });
      filters.push({ name, parameters });
    } else if (mapping.role === 'scorer') {
      origins.push({ ours: ['profile', 'scorers', scorers.length], theirs });
      scorers.push({ name, weight, parameters });
    } else {
      origins.push({ ours: ['profile', 'picker'], theirs });
      picker = { name, parameters };
      fallbacks = mapping.fallbacks ?? 0;
    }
  }
  let value: Readonly<Record<string, unknown>> = {
    extProc: { ...everyAddress, fallbacks },
    health: everyAddress,
    metrics: everyAddress,
    profile: { filters, scorers, picker },
    // Its own section turns it on.
    flowControl: { enabled: false },
  };
  for (const instance of instances) {
    const { mapping, at } = instance;
    if (mapping.kind !== 'settings' || !isActive(instance, config)) continue;
    for (const setting of mapping.values) {
      origins.push({ ours: setting.path, theirs: ['plugins', at, 'parameters'] });
      value = withSetting(value, setting.path, setting.value);
    }
  }
  if (detector !== undefined) {
    const { instance, setting } = detector;
    origins.push({ ours: setting.path, theirs: ['plugins', instance.at, 'parameters'] });
    value = withSetting(value, setting.path, setting.value);
  }
  for (const { path, value: set } of settings) {
    origins.push({ ours: path, theirs: ['flowControl'] });
    value = withSetting(value, path, set);
  }
  return { value, origins };
}

function withSetting(
  whole: Readonly<Record<string, unknown>>,
  [key = '', ...rest]: readonly string[],
  value: unknown,
): Readonly<Record<string, unknown>> {
  const inner = (whole[key] ?? {}) as Readonly<Record<string, unknown>>;
  return { ...whole, [key]: rest.length === 0 ? value : withSetting(inner, rest, value) };
}
