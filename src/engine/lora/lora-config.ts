import type { EngineOptions } from '../engine-options.ts';

/** An adapter to load at start: the name that requests ask for, and its folder. */
export interface LoraModule {
  readonly name: string;
  readonly path: string;
  /** The model that `/v1/models` gives as its parent; absent: the one that is served. */
  readonly baseModelName?: string | undefined;
}

export interface LoraConfig {
  /** Adapters that run in one step, at most. */
  readonly maxLoras: number;
  /** Adapters in memory, at most. */
  readonly maxLoaded: number;
  readonly maxRank: number;
  readonly modules: readonly LoraModule[];
}

const DEFAULT_MAX_LORAS = 1;
const DEFAULT_MAX_RANK = 16;

/** The LoRA part of the options; undefined if it is not on. Throws with the flag and what to write. */
export function readLoraConfig(options: EngineOptions): LoraConfig | undefined {
  const modules = (options.loraModules ?? []).flatMap(parseModules);
  if (options.enableLora !== true) {
    if (modules.length > 0) throw new Error('--lora-modules needs --enable-lora');
    return undefined;
  }
  const names = new Set<string>();
  for (const { name } of modules) {
    if (names.has(name)) throw new Error(`--lora-modules names ${name} twice`);
    names.add(name);
  }
  const maxLoras = positive('--max-loras', options.maxLoras ?? DEFAULT_MAX_LORAS);
  const least = Math.max(maxLoras, modules.length);
  const maxLoaded = positive('--max-cpu-loras', options.maxCpuLoras ?? least);
  if (maxLoaded < least)
    throw new Error(
      `--max-cpu-loras is ${maxLoaded}; --max-loras and the number of --lora-modules ask for ${least}`,
    );
  const maxRank = positive('--max-lora-rank', options.maxLoraRank ?? DEFAULT_MAX_RANK);
  return { maxLoras, maxLoaded, maxRank, modules };
}

/** vLLM's forms: `name=path`, or an object or a list of objects in JSON. */
function parseModules(text: string): readonly LoraModule[] {
  if (/^\s*[[{]/.test(text)) return parseJson(text);
  const at = text.indexOf('=');
  if (at > 0 && at < text.length - 1) return [{ name: text.slice(0, at), path: text.slice(at + 1) }];
  throw refuse(text);
}

function parseJson(text: string): readonly LoraModule[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw refuse(text, cause);
  }
  return (Array.isArray(value) ? value : [value]).map((entry: Readonly<Record<string, unknown>>) => {
    const { name, path, base_model_name: baseModelName } = entry ?? {};
    const isText = (field: unknown) => typeof field === 'string' && field !== '';
    if (!isText(name) || !isText(path) || (baseModelName !== undefined && !isText(baseModelName)))
      throw refuse(text);
    return { name: name as string, path: path as string, baseModelName: baseModelName as string | undefined };
  });
}

function refuse(text: string, cause?: unknown): Error {
  return new Error(
    '--lora-modules must be name=path, separated by commas, or {"name":…,"path":…,"base_model_name":…}; ' +
      `got ${JSON.stringify(text)}`,
    { cause },
  );
}

function positive(flag: string, value: number): number {
  if (Number.isInteger(value) && value > 0 && value <= 4096) return value;
  throw new Error(`${flag} must be 1 to 4096, got ${value}`);
}
