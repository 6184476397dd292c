/**
 * Reads llm-d's `EndpointPickerConfig` (llm-d.ai/v1, and before it v1alpha1 of llm-d.ai and of
 * inference.networking.x-k8s.io) as our own configuration, with llm-d's defaulting rules, and says of every part
 * what becomes of it:
 *
 *   mapped     a plugin of ours with the same formula, or values of our configuration
 *   built in   done here always, nothing to configure
 *   ignored    has no effect here, and requests still go where they should: a warning
 *   refused    would change where requests go: an error, with what to use instead
 *
 * State owned: none. Imports nothing outside configuration/.
 */

export { isEndpointPickerConfig } from './endpoint-picker-config.ts';
export { type Imported, importEndpointPickerConfig } from './import-config.ts';
export { formatMapping, type MappingRow } from './mapping-table.ts';
export { durationMs } from './values.ts';
