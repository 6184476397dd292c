// Builds the native addon with a C++ compiler and nothing else: no Python, no CMake, no network.
//   node src/engine/native/build.mjs [--sanitize]
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, '../../..');
const require = createRequire(import.meta.url);

/** x86-64-v2; processor.cc refuses less before any of it runs. */
const BASELINE = process.arch === 'x64' ? ['-mssse3', '-msse4.2', '-mpopcnt'] : [];
const UNGUARDED_FILES = new Set(['binding.cc', 'processor.cc']);
const AVX2 = ['-mavx2', '-mfma', '-mf16c'];
const AVX512 = [...AVX2, '-mavx512f', '-mavx512bw', '-mavx512vl', '-mavx512dq'];
const AMX = [...AVX512, '-mavx512vbmi', '-mavx512bf16', '-mamx-tile', '-mamx-bf16'];
/**
 * Kernel files are compiled once per set; `portable` comes first, so that shared code is never a wide one.
 * `only`: files of a set that takes its other kernels from the set below it (kernels.cc).
 */
const SETS =
  process.arch === 'x64'
    ? [
        { isa: 'portable', flags: BASELINE },
        { isa: 'avx2', flags: AVX2 },
        { isa: 'avx512', flags: AVX512, without: 'gemm-int8.cc' },
        { isa: 'avx2_vnni', flags: [...AVX2, '-mavxvnni'], only: ['gemm-int8.cc'] },
        { isa: 'avx512_vnni', flags: [...AVX512, '-mavx512vnni'], only: ['gemm-int8.cc'] },
        {
          isa: 'avx512_bf16',
          flags: [...AVX512, '-mavx512bf16'],
          only: ['gemm-bf16.cc', 'attention-bf16.cc'],
        },
        { isa: 'amx', flags: AMX, only: ['gemm-amx.cc', 'attention-amx.cc'] },
      ]
    : [{ isa: 'portable', flags: [] }];
const ONLY_PARTIAL = new Set(['gemm-bf16.cc', 'attention-bf16.cc', 'gemm-amx.cc', 'attention-amx.cc']);
/** Files of kernels/ that hold plain code: dispatch, sampling, reference twins. */
const PLAIN_KERNEL_FILES = new Set(['kernels.cc', 'sample.cc', 'reference.cc']);

export function findCompiler() {
  const candidates = process.env.CXX ? [process.env.CXX] : ['g++', 'c++', 'clang++'];
  for (const name of candidates) {
    const probe = spawnSync(name, ['--version'], { encoding: 'utf8' });
    if (probe.status === 0) return { name, version: probe.stdout.split('\n')[0] };
  }
  if (process.env.CXX) throw new Error(`the C++ compiler that CXX names, ${process.env.CXX}, does not run`);
  throw new Error('no C++ compiler found; install g++ (Debian: apt-get install g++) or set CXX');
}

function flagsFor(sanitize) {
  const packageFolder = (name) => dirname(require.resolve(`${name}/package.json`));
  const includes = [
    join(packageFolder('node-addon-api')),
    join(packageFolder('node-api-headers'), 'include'),
  ];
  return [
    ...[
      '-std=c++20',
      sanitize ? '-O1' : '-O3',
      '-fPIC',
      '-pthread',
      '-fvisibility=hidden',
      '-Wall',
      '-Wextra',
    ],
    // Contraction would let the compiler fuse a multiply-add in one copy of a kernel and not in another.
    '-ffp-contract=off',
    // GCC 12 warns about its own AVX-512 and string headers, and about vectors that never cross a call.
    ...[
      '-Wno-uninitialized',
      '-Wno-maybe-uninitialized',
      '-Wno-restrict',
      '-Wno-psabi',
      '-Wno-unknown-warning-option',
    ],
    ...['-DNAPI_VERSION=9', '-DNODE_ADDON_API_CPP_EXCEPTIONS', '-DNODE_ADDON_API_DISABLE_DEPRECATED'],
    ...(process.arch === 'x64' ? ['-DPM_X86_SETS'] : []),
    ...(sanitize
      ? ['-fsanitize=address,undefined', '-fno-sanitize-recover=undefined', '-fno-omit-frame-pointer', '-g1']
      : []),
    ...includes.flatMap((folder) => ['-isystem', folder]),
  ];
}

/** Compilers and assemblers from about 2020 on; without, the binary lacks that set. */
function knowsAmx(compiler) {
  if (process.arch !== 'x64') return false;
  const probe = ['-x', 'c++', '-', '-c', '-o', '/dev/null'];
  const input = 'void f() { asm volatile("tilerelease"); }';
  return spawnSync(compiler.name, [...AMX, ...probe], { input }).status === 0;
}

/** Every object of the addon: source, instruction set or none, object file. */
function listUnits(objects, hasAmx) {
  const sources = (folder) =>
    readdirSync(folder)
      .filter((file) => file.endsWith('.cc'))
      .sort();
  const isUnguarded = (file) => UNGUARDED_FILES.has(file);
  const plain = [
    // First, so that inline functions that several objects hold are linked from those that any processor runs.
    ...['', 'binding', 'decoder']
      .flatMap((folder) => sources(join(here, folder)).map((file) => join(here, folder, file)))
      .sort((a, b) => isUnguarded(basename(b)) - isUnguarded(basename(a))),
    ...sources(join(here, 'kernels'))
      .filter((file) => PLAIN_KERNEL_FILES.has(file))
      .map((file) => join(here, 'kernels', file)),
  ].map((source) => ({
    source,
    isa: '',
    flags: [
      ...(isUnguarded(basename(source)) ? [] : BASELINE),
      ...(hasAmx && basename(source) === 'kernels.cc' ? ['-DPM_AMX'] : []),
    ],
    object: join(objects, `${basename(source, '.cc')}.o`),
  }));
  const kernels = sources(join(here, 'kernels')).filter((file) => !PLAIN_KERNEL_FILES.has(file));
  const sets = SETS.filter(({ isa }) => isa !== 'amx' || hasAmx);
  const perIsa = sets.flatMap(({ isa, flags, only, without }) =>
    kernels
      .filter((file) =>
        only === undefined ? !ONLY_PARTIAL.has(file) && file !== without : only.includes(file),
      )
      .map((file) => ({
        source: join(here, 'kernels', file),
        isa,
        flags,
        object: join(objects, `${basename(file, '.cc')}.${isa}.o`),
      })),
  );
  return [...plain, ...perIsa];
}

/**
 * Hash over a source, the headers that it includes, directly or not, and everything else that shapes the object.
 * `folders`: where headers in angle brackets may be.
 */
function stampOf(source, context, folders) {
  const seen = new Map();
  const visit = (file) => {
    if (seen.has(file) || !existsSync(file)) return;
    const text = readFileSync(file, 'utf8');
    seen.set(file, text);
    for (const [, name] of text.matchAll(/^#include ["<]([^">]+)[">]/gm))
      for (const folder of [dirname(file), ...folders]) visit(resolve(folder, name));
  };
  visit(source);
  const hash = createHash('sha256').update(context);
  for (const file of [...seen.keys()].sort()) hash.update(seen.get(file));
  return hash.digest('hex');
}

function run(command, args) {
  return new Promise((done, fail) => {
    const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit'] });
    child.on('error', fail);
    child.on('exit', (code) =>
      code === 0 ? done() : fail(new Error(`${command} failed on ${args.at(-1)} (exit code ${code})`)),
    );
  });
}

/**
 * Compiles the units whose sources, headers or flags have changed; resolves with how many those were.
 * A unit: `source`, `object`, `command`, `flags`, and `isa` for the log or ''. `folders`: as in `stampOf`.
 */
export async function compile(units, { context, jobs, log, folders = [] }) {
  const stale = units
    .map((unit) => ({ ...unit, stamp: stampOf(unit.source, context + JSON.stringify(unit.flags), folders) }))
    .filter(({ object, stamp }) => {
      const stampFile = `${object}.stamp`;
      return !existsSync(object) || !existsSync(stampFile) || readFileSync(stampFile, 'utf8') !== stamp;
    });
  let next = 0;
  const worker = async () => {
    while (next < stale.length) {
      const number = ++next;
      const unit = stale[number - 1];
      const name = relative(root, unit.source).replace('src/engine/native/', '');
      log(`native: compiling ${number}/${stale.length} ${name}${unit.isa ? ` (${unit.isa})` : ''}`);
      await run(unit.command, [...unit.flags, '-o', unit.object, '-c', unit.source]);
      writeFileSync(`${unit.object}.stamp`, unit.stamp);
    }
  };
  await Promise.all(Array.from({ length: Math.min(jobs, availableParallelism()) }, worker));
  return stale.length;
}

/** Links aside and renames: a process that has the old file mapped keeps it. */
export async function link(command, args, output) {
  await run(command, [...args, '-o', `${output}.new`]);
  renameSync(`${output}.new`, output);
}

/**
 * Compiles what changed and links `build/pointsman_native.node` (`.asan.node` with `sanitize`).
 * Returns its path. Rejects with one clear message when there is no compiler or it fails.
 */
export async function buildNative({ log = console.log, sanitize = false, jobs = 2 } = {}) {
  const compiler = findCompiler();
  const output = join(root, 'build', sanitize ? 'pointsman_native.asan.node' : 'pointsman_native.node');
  const objects = join(root, 'build', sanitize ? 'obj-asan' : 'obj');
  mkdirSync(objects, { recursive: true });
  const flags = flagsFor(sanitize);
  const units = listUnits(objects, knowsAmx(compiler)).map((unit) => ({
    ...unit,
    command: compiler.name,
    flags: [...flags, ...unit.flags],
  }));
  const compiled = await compile(units, { context: JSON.stringify(compiler), jobs, log });
  if (compiled === 0 && existsSync(output)) return output;
  log(`native: linking ${basename(output)}`);
  const shared = process.platform === 'darwin' ? ['-bundle', '-undefined', 'dynamic_lookup'] : ['-shared'];
  const flagsOfLink = [...shared, '-pthread', ...(sanitize ? ['-fsanitize=address,undefined'] : [])];
  await link(compiler.name, [...flagsOfLink, ...units.map((unit) => unit.object)], output);
  return output;
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    await buildNative({ sanitize: process.argv.includes('--sanitize') });
  } catch (error) {
    console.error(`native: ${error.message}`);
    process.exitCode = 1;
  }
}
