import { z } from 'zod';
import type { Parameters } from '../../scheduling/index.ts';

/** What a plugin type is for in llm-d; a type that is a filter and a detector has both. */
export type Role =
  | 'filter'
  | 'scorer'
  | 'picker'
  | 'handler'
  | 'data'
  | 'flow control'
  | 'parser'
  | 'request';

/** What becomes of a plugin instance here. */
export type Mapping =
  | {
      readonly kind: 'plugin';
      readonly role: 'filter' | 'scorer' | 'picker';
      /** Ours. */
      readonly name: string;
      readonly parameters: Parameters;
      /** Endpoints to name after the first, of a picker. */
      readonly fallbacks?: number;
      /** `metrics.fullEndpoint` where it is the detector of saturation. */
      readonly fullEndpoint?: Readonly<Record<string, number>>;
      readonly note?: string;
    }
  /** Values at paths of our configuration. */
  | {
      readonly kind: 'settings';
      readonly values: readonly Setting[];
      readonly note?: string;
      readonly warning?: string;
    }
  | { readonly kind: 'built in'; readonly note: string }
  | { readonly kind: 'ignored'; readonly note: string }
  | { readonly kind: 'refused'; readonly note: string };

export interface Setting {
  readonly path: readonly string[];
  readonly value: unknown;
}

/** What a mapping may ask about the rest of the document. */
export interface MappingContext {
  /** Output tokens that llm-d's in-flight producer of this name counts per prompt token; 0 if it does not. */
  readonly outputRatioOf: (producer: string | undefined) => number;
  /** Undefined, or what is wrong with the reference: the producer is none of prefix matches that we have. */
  readonly prefixProblem: (producer: string | undefined) => string | undefined;
}

export interface PluginType {
  readonly roles: readonly Role[];
  /** Strict, as llm-d decodes parameters. */
  readonly parameters: z.ZodType;
  readonly map: (parameters: never, context: MappingContext) => Mapping;
  /** Takes effect by being listed, without a reference from a profile. */
  readonly isActiveAlone: boolean;
}

interface Definition<Schema extends z.ZodType> {
  readonly roles: readonly Role[];
  readonly parameters: Schema;
  readonly map: (parameters: z.output<Schema>, context: MappingContext) => Mapping;
}

export function pluginType<Schema extends z.ZodType>(definition: Definition<Schema>): PluginType {
  const isActiveAlone = !definition.roles.every(
    (role) => role === 'filter' || role === 'scorer' || role === 'picker',
  );
  return { ...definition, isActiveAlone };
}

const anything = z.record(z.string(), z.unknown());

/** A type of which the parameters do not matter, because nothing here would use them. */
export function withoutEffect(
  kind: 'built in' | 'ignored' | 'refused',
  roles: readonly Role[],
  note: string,
): PluginType {
  return pluginType({ roles, parameters: anything, map: () => ({ kind, note }) });
}

export const noParameters = z.strictObject({});
