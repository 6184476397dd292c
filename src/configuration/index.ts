/**
 * One YAML file, flags and defaults, turned into frozen plain objects; filters, scorers and pickers loaded by
 * name. Owns the schema (types, defaults and the published JSON Schema come from it) and every message about
 * a mistake in it. Reads files and imports plugins; imports the types of
 * scheduling/, the log's levels, and nothing else of ours.
 */
export { apiKeysIn } from './api-keys.ts';
export { changedKeys } from './changed-keys.ts';
export { configurationJsonSchema } from './json-schema.ts';
export { durationMs, formatMapping } from './llm-d/index.ts';
export {
  type Importation,
  ImportError,
  type LoadedConfiguration,
  type LoadOptions,
  loadConfiguration,
  type Override,
} from './load-configuration.ts';
export type { LoadedProfile } from './load-profile.ts';
export { ConfigurationError, formatProblem, type Problem } from './problems.ts';
export { type Configuration, configurationSchema } from './schema.ts';
export { watchConfiguration } from './watch-configuration.ts';
