import type { EngineFlag, FlagValue } from './engine-flag.ts';

/** The option that a flag's value stands for. Throws with what was expected. */
export function parseFlag(flag: EngineFlag, value: FlagValue): unknown {
  const refuse = (expected: string) =>
    new Error(`--${flag.name} must be ${expected}, got ${JSON.stringify(value)}`);
  if (flag.choices !== undefined && !flag.choices.includes(String(value)))
    throw refuse(`one of ${flag.choices.join(', ')}`);
  switch (flag.type) {
    case 'string':
      return String(value);
    case 'list': {
      const list = Array.isArray(value) ? value.map(textOf) : splitList(textOf(value));
      // An empty key would open the door, an empty name would name nothing. Not said back: keys are secret.
      if (list.length === 0 || list.includes(''))
        throw new Error(`--${flag.name} must be texts separated by commas; one of them is empty`);
      return list;
    }
    case 'json': {
      const object = typeof value === 'string' ? parseJson(value) : value;
      if (typeof object !== 'object' || object === null || Array.isArray(object))
        throw refuse('a JSON object');
      return object;
    }
    case 'boolean':
      if (value === true || value === 'true') return true;
      if (value === false || value === 'false') return false;
      throw refuse('true or false');
    case 'number': {
      const number = Number(value);
      if (value === '' || !Number.isFinite(number) || number <= 0) throw refuse('a positive number');
      return within(flag, number, refuse);
    }
    case 'integer':
    case 'size': {
      // As vLLM: whatever fits.
      if (flag.name === 'max-model-len' && (value === 'auto' || String(value) === '-1')) return undefined;
      const number = flag.type === 'size' ? parseSize(String(value)) : Number(value);
      if (value === '' || !Number.isSafeInteger(number) || number < 0)
        throw refuse(
          flag.type === 'size' ? 'a whole number, or one such as 4k, 512M or 2G' : 'a whole number',
        );
      return within(flag, number, refuse);
    }
  }
}

function within({ least, most }: EngineFlag, number: number, refuse: (expected: string) => Error): number {
  if (number < (least ?? number)) throw refuse(`${least} or more`);
  if (number > (most ?? number)) throw refuse(`at most ${most}`);
  return number;
}

/** A number or an object of a YAML file as on the command line. */
function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** By commas, or a list of texts in JSON as vLLM has some; other JSON is one entry. */
function splitList(text: string): readonly string[] {
  if (!/^\s*[[{]/.test(text)) return text.split(',');
  const list = parseJson(text);
  const isList = Array.isArray(list) && list.every((entry) => typeof entry === 'string');
  return isList ? list : [text];
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not JSON: the caller says what was expected.
    return undefined;
  }
}

const multipliers: Readonly<Record<string, number>> = {
  k: 1e3,
  K: 2 ** 10,
  m: 1e6,
  M: 2 ** 20,
  g: 1e9,
  G: 2 ** 30,
};

function parseSize(text: string): number {
  const [, digits, unit] = /^([\d.]+)([kKmMgG]?)$/.exec(text.trim()) ?? [];
  return digits === undefined ? Number.NaN : Math.round(Number(digits) * (multipliers[unit ?? ''] ?? 1));
}
