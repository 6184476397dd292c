import type { EndpointPickerConfig } from './endpoint-picker-config.ts';
import type { Instance } from './instances.ts';
import type { Setting } from './plugin-type.ts';

/** llm-d takes a plugin of this name where the document names no detector. */
const usualDetector = 'utilization-detector';

export interface SaturationDetector {
  readonly instance: Instance;
  /** What the gauge of saturation takes from it. */
  readonly setting: Setting;
}

/** The detector of saturation, where the document lists it and it is one that the gauge can follow. */
export function saturationDetector(
  { flowControl, saturationDetector: old }: EndpointPickerConfig,
  instances: readonly Instance[],
): SaturationDetector | undefined {
  const ref = flowControl?.saturationDetector?.pluginRef || old?.pluginRef || usualDetector;
  const instance = instances.find(({ name }) => name === ref);
  if (instance?.mapping.kind !== 'plugin' || instance.mapping.fullEndpoint === undefined) return undefined;
  return { instance, setting: { path: ['metrics', 'fullEndpoint'], value: instance.mapping.fullEndpoint } };
}
