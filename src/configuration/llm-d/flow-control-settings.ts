import type { SchemaProblem } from '../schema-problems.ts';
import type { EndpointPickerConfig } from './endpoint-picker-config.ts';
import { problem } from './instances.ts';
import type { Setting } from './plugin-type.ts';
import { durationMs, quantityOf } from './values.ts';

type FlowControl = NonNullable<EndpointPickerConfig['flowControl']>;

const oneLine =
  'is ignored: there is one line for all priorities, and a full one displaces the lowest of them';

/** Why a part of the section has no effect. */
const withoutEffect: Readonly<Partial<Record<keyof FlowControl, string>>> = {
  noEndpointRequestTTL: 'is ignored: without a ready endpoint a request is refused at once',
  defaultPriorityBand: oneLine,
  defaultNegativePriorityBand: oneLine,
  priorityBands: oneLine,
  usageLimitPolicyPluginRef: 'is ignored: every priority may use all the room that there is',
  saturationDetector: "is ignored: room is told by an engine's undone prefill and its KV memory",
};

/** llm-d's section as settings of ours. */
export function flowControlSettings(given: FlowControl): {
  readonly settings: readonly Setting[];
  readonly warnings: readonly SchemaProblem[];
} {
  const { maxRequests, maxBytes, defaultRequestTTL, enableEviction } = given;
  const settings: Setting[] = [{ path: ['flowControl', 'enabled'], value: true }];
  const set = (key: string, value: number) => {
    // In llm-d 0 stands for its default.
    if (value > 0) settings.push({ path: ['flowControl', key], value });
  };
  if (maxRequests !== undefined) set('maxQueuedRequests', quantityOf(maxRequests));
  if (maxBytes !== undefined) set('maxQueuedBytes', quantityOf(maxBytes));
  if (defaultRequestTTL !== undefined) set('ttlMs', durationMs(defaultRequestTTL) ?? 0);
  const warnings = Object.entries(withoutEffect)
    .filter(([key]) => given[key as keyof FlowControl] !== undefined)
    .map(([key, reason]) => problem(['flowControl', key], reason));
  if (enableEviction === true)
    warnings.push(problem(['flowControl', 'enableEviction'], 'is ignored: running requests are not evicted'));
  return { settings, warnings };
}
