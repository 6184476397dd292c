import { jsonOfPythonLiteral } from './python-literal.ts';

/** The JSON schemas of what tools take, by the tools' names. */
export type ToolParameters = ReadonlyMap<string, unknown>;

const maxDepth = 8;

/** The types that a schema allows a parameter; `any` for what is not looked into; empty if it says nothing of it. */
export function parameterTypes(schema: unknown, key: string): ReadonlySet<string> {
  const types = new Set<string>();
  const collect = (part: unknown, depth: number): void => {
    if (!isRecord(part)) return;
    if (part['$ref'] !== undefined || depth > maxDepth) types.add('any');
    for (const type of [part['type'] ?? []].flat()) types.add(String(type));
    for (const value of [part['enum'] ?? [], 'const' in part ? [part['const']] : []].flat())
      types.add(value === null ? 'null' : typeof value);
    for (const keyword of ['anyOf', 'oneOf', 'allOf'])
      for (const option of [part[keyword] ?? []].flat()) collect(option, depth + 1);
  };
  const properties = isRecord(schema) ? schema['properties'] : undefined;
  if (isRecord(properties) && Object.hasOwn(properties, key)) collect(properties[key], 0);
  return types;
}

/** A value of these types is a string whatever it looks like. */
export function isPlainText(types: ReadonlySet<string>): boolean {
  return types.size === 0 || (types.has('string') && !types.has('null'));
}

/** What a model wrote for a parameter, as JSON text: as JSON or a literal of Python if it is one, else as a string. */
export function jsonOfParameter(text: string, types: ReadonlySet<string>): string {
  const trimmed = text.trim();
  if (types.has('null') && /^(null|none)$/i.test(trimmed)) return 'null';
  if (isPlainText(types) || types.has('string')) return JSON.stringify(text);
  return isJson(trimmed) ? trimmed : (jsonOfPythonLiteral(trimmed) ?? JSON.stringify(text));
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    // Another notation, or a string.
    return false;
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
