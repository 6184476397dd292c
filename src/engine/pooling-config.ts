import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PoolingType } from './pooled-state.ts';

/** How states of prompts become embeddings. */
export interface PoolingConfig {
  readonly type: PoolingType;
  /** Scaled to length 1 unless a request says otherwise. */
  readonly isNormalized: boolean;
  /** Lengths that embeddings may be cut to: those the model was trained for, or any. */
  readonly dimensions: readonly number[] | 'any';
  /** Cut to this unless a request says otherwise. */
  readonly defaultDimensions: number | undefined;
}

/** What vLLM makes of a decoder without further word. */
export const defaultPooling: PoolingConfig = {
  type: 'last',
  isNormalized: true,
  dimensions: [],
  defaultDimensions: undefined,
};

type Fields = Readonly<Record<string, unknown>>;

/**
 * From `--pooler-config`, by vLLM's keys, and below it what the model folder says: `modules.json` of
 * sentence-transformers with its pooling folder, `matryoshka_dimensions` or `is_matryoshka` of config.json.
 * Throws with what is not known or cannot be done.
 */
export function readPoolingConfig(model: string, given: Fields = {}): PoolingConfig {
  const own = { ...defaultPooling, ...readSentenceTransformers(model), ...readMatryoshka(model) };
  const { pooling_type: type, seq_pooling_type: sequenceType, normalize, use_activation, dimensions } = given;
  const unknown = Object.keys(given).filter((key) => !known.has(key));
  if (unknown.length > 0)
    throw new Error(
      `--pooler-config has unknown keys: ${unknown.join(', ')}; it takes ${[...known].join(', ')}`,
    );
  if (type !== undefined && sequenceType !== undefined)
    throw new Error('--pooler-config: pooling_type and seq_pooling_type say the same; give one');
  const isNormalized = normalize ?? use_activation ?? own.isNormalized;
  if (typeof isNormalized !== 'boolean') throw new Error('--pooler-config: normalize must be true or false');
  if (dimensions !== undefined && (!Number.isInteger(dimensions) || Number(dimensions) < 1))
    throw new Error(`--pooler-config: dimensions must be a whole number, got ${JSON.stringify(dimensions)}`);
  const defaultDimensions = dimensions as number | undefined;
  return { ...own, type: readType(type ?? sequenceType) ?? own.type, isNormalized, defaultDimensions };
}

const known = new Set(['pooling_type', 'seq_pooling_type', 'normalize', 'use_activation', 'dimensions']);
const types: Readonly<Record<string, PoolingType>> = { LAST: 'last', CLS: 'cls', MEAN: 'mean' };

function readType(value: unknown): PoolingType | undefined {
  if (value === undefined || value === null) return undefined;
  const type = typeof value === 'string' ? types[value.toUpperCase()] : undefined;
  if (type !== undefined) return type;
  throw new Error(
    `--pooler-config: pooling_type must be one of ${Object.keys(types).join(', ')}, got ${JSON.stringify(value)}; ` +
      'states of all tokens (ALL, STEP) are not served',
  );
}

const modes: Readonly<Record<string, PoolingType>> = {
  pooling_mode_lasttoken: 'last',
  pooling_mode_cls_token: 'cls',
  pooling_mode_mean_tokens: 'mean',
};

function readSentenceTransformers(model: string): Partial<PoolingConfig> {
  const modules = readJson(join(model, 'modules.json'));
  if (!Array.isArray(modules)) return {};
  const ofType = (name: string) =>
    (modules as Fields[]).find(({ type }) => typeof type === 'string' && type.endsWith(`.${name}`));
  const pooling = ofType('Pooling');
  const isNormalized = ofType('Normalize') !== undefined;
  if (pooling === undefined) return { isNormalized };
  const path = join(model, String(pooling['path'] ?? '1_Pooling'), 'config.json');
  const config = (readJson(path) ?? {}) as Fields;
  const on = Object.keys(config).filter((key) => key.startsWith('pooling_mode_') && config[key] === true);
  const type = on.length === 1 ? modes[on[0]!] : undefined;
  if (type === undefined)
    throw new Error(
      `${path} asks for ${on.join(', ') || 'no pooling mode'}; one of ${Object.keys(modes).join(', ')} can be served`,
    );
  return { type, isNormalized };
}

function readMatryoshka(model: string): Partial<PoolingConfig> {
  const config = (readJson(join(model, 'config.json')) ?? {}) as Fields;
  const trained = config['matryoshka_dimensions'];
  if (Array.isArray(trained)) return { dimensions: trained.filter((size) => Number.isInteger(size)) };
  return config['is_matryoshka'] === true ? { dimensions: 'any' } : {};
}

/** Undefined if there is no such file. */
function readJson(path: string): unknown {
  if (!existsSync(path)) return undefined;
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new Error(`${path} could not be read as JSON: ${(error as Error).message}`, { cause: error });
  }
}
