import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

/**
 * The picture of the house as data: which rooms a room may import, and of which it may use types alone.
 * A room that is not listed here has no place yet: add it with its arrows.
 */
const rooms: Readonly<Record<string, { values: readonly string[]; types?: readonly string[] }>> = {
  simd: { values: [] },
  protocol: { values: ['simd'] },
  http2: { values: [] },
  tokenizer: { values: [], types: ['protocol'] },
  telemetry: { values: [], types: ['endpoint-picker', 'protocol', 'scheduling'] },
  scheduling: { values: [] },
  'prefix-index': { values: ['protocol', 'simd'], types: ['scheduling'] },
  pool: { values: ['protocol', 'prefix-index', 'scheduling'], types: ['telemetry'] },
  'flow-control': { values: ['protocol'] },
  'endpoint-picker': { values: ['flow-control', 'pool', 'prefix-index', 'protocol', 'scheduling'] },
  'ext-proc': { values: ['endpoint-picker', 'http2', 'protocol', 'telemetry'], types: ['scheduling'] },
  gateway: { values: ['endpoint-picker', 'protocol', 'telemetry'], types: ['scheduling'] },
  conformance: { values: ['http2'] },
  configuration: { values: ['protocol', 'telemetry'], types: ['scheduling'] },
  replay: { values: ['endpoint-picker', 'scheduling'] },
  engine: { values: ['protocol', 'tokenizer', 'telemetry'] },
  simulation: {
    values: [
      'scheduling',
      'prefix-index',
      'pool',
      'flow-control',
      'endpoint-picker',
      'protocol',
      'configuration',
    ],
  },
  commands: {
    values: [
      'configuration',
      'conformance',
      'endpoint-picker',
      'engine',
      'ext-proc',
      'flow-control',
      'gateway',
      'pool',
      'prefix-index',
      'protocol',
      'replay',
      'scheduling',
      'simd',
      'simulation',
      'telemetry',
      'tokenizer',
    ],
  },
};

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

interface Import {
  readonly file: string;
  readonly specifier: string;
  readonly isTypeOnly: boolean;
}

function filesIn(folder: string, ending: RegExp): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && ending.test(entry.name))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .filter((file) => !file.includes(`node_modules${sep}`));
}

function importsOf(file: string): Import[] {
  const text = readFileSync(join(root, file), 'utf8').replaceAll(/^\s*(\*|\/\/|\/\*).*$/gm, '');
  const found: Import[] = [];
  for (const [, type, names = '', specifier] of text.matchAll(
    /^\s*(?:import|export)\s+(type\s+)?([^'";]*?)\s*from\s+['"]([^'"]+)['"]/gm,
  )) {
    const list = /^\{([^}]*)\}$/s
      .exec(names.trim())?.[1]
      ?.split(',')
      .filter((name) => name.trim() !== '');
    const isTypeOnly = type !== undefined || (list?.every((name) => /^\s*type\s/.test(name)) ?? false);
    found.push({ file, specifier: specifier!, isTypeOnly });
  }
  for (const [, specifier] of text.matchAll(/(?:^\s*import\s+|\bimport\()['"]([^'"]+)['"]/gm))
    found.push({ file, specifier: specifier!, isTypeOnly: false });
  return found;
}

/** `gateway` for src/gateway/server.ts; undefined outside src/. */
function roomOf(file: string): string | undefined {
  const [top, room, ...rest] = file.split(sep);
  return top === 'src' && rest.length > 0 ? room : undefined;
}

function targetOf({ file, specifier }: Import): string | undefined {
  return specifier.startsWith('.') ? relative(root, resolve(root, dirname(file), specifier)) : undefined;
}

const sourceFiles = filesIn('src', /\.(ts|mjs)$/);
const scorerFiles = filesIn('scorers', /\.ts$/);

describe('the house', () => {
  it('finds imports of every form', () => {
    const own = importsOf(join('test', 'architecture.test.ts'));
    expect(own.map(({ specifier }) => specifier)).toEqual(['node:fs', 'node:path', 'node:url', 'vitest']);
    expect(sourceFiles.length).toBeGreaterThan(10);
  });

  it('has arrows for every room', () => {
    const present = new Set(sourceFiles.map(roomOf).filter((room) => room !== undefined));
    expect([...present].filter((room) => !(room in rooms))).toEqual([]);
  });

  it('has no room that imports against the arrows', () => {
    const offences = sourceFiles.flatMap(importsOf).flatMap((each) => {
      const target = targetOf(each);
      const from = roomOf(each.file);
      const to = target === undefined ? undefined : roomOf(target);
      if (target === undefined || from === undefined || from === to) return [];
      const { values = [], types = [] } = rooms[from] ?? {};
      // The simulator runs the scorers that ship.
      if (from === 'simulation' && target.startsWith(`scorers${sep}`)) return [];
      const isAllowed = to !== undefined && (values.includes(to) || (each.isTypeOnly && types.includes(to)));
      return isAllowed ? [] : [`${each.file} imports ${each.isTypeOnly ? 'types of ' : ''}${target}`];
    });
    expect(offences).toEqual([]);
  });

  it('has arrows without a circle', () => {
    const reach = (from: string, seen: readonly string[]): string[] =>
      (rooms[from]?.values ?? []).flatMap((to) =>
        seen.includes(to) ? [`${seen.join(' → ')} → ${to}`] : reach(to, [...seen, to]),
      );
    expect(Object.keys(rooms).flatMap((room) => reach(room, [room]))).toEqual([]);
  });

  it('lets scorers import only the public scheduling module', () => {
    const foreign = scorerFiles
      .flatMap(importsOf)
      .filter(({ specifier }) => specifier !== 'pointsman/scheduling')
      .map(({ file, specifier }) => `${file} imports ${specifier}`);
    expect(foreign).toEqual([]);
  });

  it('includes napi.h in the folder binding/ alone, and no CUDA header there', () => {
    const native = filesIn(join('src', 'engine', 'native'), /\.(cc|h|cu|cuh)$/);
    const includes = (file: string, header: RegExp) => header.test(readFileSync(join(root, file), 'utf8'));
    const isBinding = (file: string) => dirname(file) === join('src', 'engine', 'native', 'binding');
    const withNapi = native.filter((file) => includes(file, /#include\s*[<"](napi|node_api)\.h/));
    expect(withNapi.length).toBeGreaterThan(0);
    expect(withNapi.filter((file) => !isBinding(file))).toEqual([]);
    expect(native.filter(isBinding).filter((file) => includes(file, /#include\s*[<"]cuda/))).toEqual([]);
  });

  it('has no file whose name says nothing', () => {
    const all = ['src', 'scorers', 'test', 'bench'].flatMap((folder) =>
      filesIn(folder, /\.(ts|mjs|cc|h|cu)$/),
    );
    expect(all.filter((file) => /^(utils?|helpers?|common|misc)\./.test(basename(file)))).toEqual([]);
  });
});
