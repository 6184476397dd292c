import type { Path } from '../problems.ts';
import type { SchemaProblem } from '../schema-problems.ts';
import type { EndpointPickerConfig } from './endpoint-picker-config.ts';
import { problem } from './instances.ts';
import type { Setting } from './plugin-type.ts';
import { durationMs, quantityOf } from './values.ts';

type FlowControl = NonNullable<EndpointPickerConfig['flowControl']>;

const oneLine =
  'is ignored: there is one line for all priorities, and a full one displaces the lowest of them';

/** A wait of `0s` is one without end; 24 days stand for it. */
const endlessMs = 2 ** 31 - 1;

/** Why a part of the section has no effect. */
const withoutEffect: Readonly<Partial<Record<keyof FlowControl, string>>> = {
  noEndpointRequestTTL: 'is ignored: without a ready endpoint a request is refused at once',
  usageLimitPolicyPluginRef: 'is ignored: every priority may use all the room that there is',
  bandSelectionPolicyPluginRef: 'is ignored: higher priorities are always first',
  saturationDetector:
    "does not decide who waits: room is told by an engine's undone prefill and its KV memory",
};

/** llm-d's section as settings of ours. */
export function flowControlSettings(given: FlowControl): {
  readonly settings: readonly Setting[];
  readonly warnings: readonly SchemaProblem[];
} {
  const { maxRequests, maxBytes, defaultRequestTTL, enableEviction } = given;
  const settings: Setting[] = [{ path: ['flowControl', 'enabled'], value: true }];
  const set = (key: string, value: unknown) => settings.push({ path: ['flowControl', key], value });
  // A limit of 0 is none in llm-d; here there is always one.
  if (maxRequests !== undefined && quantityOf(maxRequests) > 0)
    set('maxQueuedRequests', quantityOf(maxRequests));
  if (maxBytes !== undefined && quantityOf(maxBytes) > 0) set('maxQueuedBytes', quantityOf(maxBytes));
  if (defaultRequestTTL !== undefined) set('ttlMs', longestWaitMs(defaultRequestTTL));
  const byPriority = (given.priorityBands ?? []).flatMap(({ priority, defaultRequestTTL: ttl }) =>
    ttl === undefined ? [] : [[String(priority), longestWaitMs(ttl)] as const],
  );
  if (byPriority.length > 0) set('ttlMsByPriority', Object.fromEntries(byPriority));
  const warnings = Object.entries(withoutEffect)
    .filter(([key]) => given[key as keyof FlowControl] !== undefined)
    .map(([key, reason]) => problem(['flowControl', key], reason));
  warnings.push(...bandWarnings(given));
  if (enableEviction === true)
    warnings.push(problem(['flowControl', 'enableEviction'], 'is ignored: running requests are not evicted'));
  return { settings, warnings };
}

function longestWaitMs(text: string): number {
  return durationMs(text) || endlessMs;
}

/** Of a band only its priority and its longest wait count. */
function bandWarnings(given: FlowControl): SchemaProblem[] {
  const bands: readonly (readonly [Path, Band | undefined])[] = [
    [['flowControl', 'defaultPriorityBand'], given.defaultPriorityBand],
    [['flowControl', 'defaultNegativePriorityBand'], given.defaultNegativePriorityBand],
  ];
  const warnings = bands.flatMap(([path, band]) => (band === undefined ? [] : [problem(path, oneLine)]));
  const isLimited = (band: Band) =>
    Object.keys(band).some((key) => key !== 'priority' && key !== 'defaultRequestTTL');
  return given.priorityBands?.some(isLimited)
    ? [...warnings, problem(['flowControl', 'priorityBands'], `${oneLine}; defaultRequestTTL counts`)]
    : warnings;
}

type Band =
  | NonNullable<FlowControl['priorityBands']>[number]
  | NonNullable<FlowControl['defaultPriorityBand']>;
