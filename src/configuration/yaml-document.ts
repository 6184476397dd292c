import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  visit,
  type YAMLError,
} from 'yaml';
import type { Path, Position, Problem } from './problems.ts';

/** A parsed YAML text that can still say where each value stands. */
export interface YamlDocument {
  /** Plain objects and arrays. A key without a value counts as not given. */
  readonly value: unknown;
  /** Syntax errors and aliases that lead nowhere, with their places. */
  readonly problems: readonly Problem[];
  /** True without any text, when there are only flags. */
  readonly isEmpty: boolean;
  /** Of the value at `path`, or of the nearest parent that exists. */
  positionOf(path: Path): Position;
  /** Of the key itself; used for keys that should not be there. */
  positionOfKey(path: Path, key: string): Position;
}

export function parseYaml(text: string, source: string): YamlDocument {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, prettyErrors: false, logLevel: 'error' });
  const at = (offset: number): Position => {
    const { line, col } = lineCounter.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const resolve = (node: unknown): unknown => (isAlias(node) ? node.resolve(document) : node);

  const pairOf = (map: unknown, key: string | number) =>
    isMap(map)
      ? map.items.find((pair) => isScalar(pair.key) && String(pair.key.value) === String(key))
      : undefined;

  const positionOf = (path: Path): Position => {
    let node: unknown = document.contents;
    let offset = offsetOf(node) ?? 0;
    for (const key of path) {
      const parent = resolve(node);
      const pair = pairOf(parent, key);
      const child = isSeq(parent) ? parent.items[Number(key)] : (pair?.value ?? pair?.key);
      if (child === undefined) break;
      offset = offsetOf(child) ?? offsetOf(pair?.key) ?? offset;
      node = child;
    }
    return at(offset);
  };

  const nodeAt = (path: Path): unknown => {
    let node: unknown = resolve(document.contents);
    for (const key of path) node = resolve(isSeq(node) ? node.items[Number(key)] : pairOf(node, key)?.value);
    return node;
  };

  const faults = [...document.errors.map(faultOfError), ...aliasFaults(document)];
  const value = faults.length > 0 ? undefined : expandedValue(document, faults);
  return {
    value,
    isEmpty: text === '',
    problems: faults.map(({ offset, message }) => ({ source, position: at(offset), path: '', message })),
    positionOf,
    positionOfKey: (path, key) => {
      const offset = offsetOf(pairOf(nodeAt(path), key)?.key);
      return offset === undefined ? positionOf(path) : at(offset);
    },
  };
}

interface Fault {
  readonly offset: number;
  readonly message: string;
}

function faultOfError({ code, pos, message }: YAMLError): Fault {
  const own = { MULTIPLE_DOCS: 'expected one document, found another one after `---`' } as Record<
    string,
    string
  >;
  return { offset: pos[0], message: own[code] ?? message };
}

/** Aliases without an anchor, and those inside of what they name. */
function aliasFaults(document: Document.Parsed): Fault[] {
  const faults: Fault[] = [];
  visit(document, {
    Alias: (_key, alias, parents) => {
      const target = alias.resolve(document);
      const name = alias.source;
      const offset = offsetOf(alias) ?? 0;
      if (target === undefined)
        faults.push({ offset, message: `expected an anchor &${name} before *${name}, found none` });
      else if (parents.some((parent) => parent === target))
        faults.push({ offset, message: `*${name} stands inside of what &${name} names` });
    },
  });
  return faults;
}

/** Tells in `faults` what only shows while aliases are expanded: far too many of them. */
function expandedValue(document: Document.Parsed, faults: Fault[]): unknown {
  try {
    return withoutNulls(document.toJS());
  } catch (error) {
    faults.push({ offset: 0, message: (error as Error).message });
    return undefined;
  }
}

function offsetOf(node: unknown): number | undefined {
  return (node as Node | null | undefined)?.range?.[0];
}

/** `key:` with nothing after it is YAML's null; it reads as "leave it at its default". */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, item]) => item !== null);
  return Object.fromEntries(entries.map(([key, item]) => [key, withoutNulls(item)]));
}
