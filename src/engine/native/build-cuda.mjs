// Builds the CUDA library, `build/pointsman_cuda.so`, and the program that checks its kernels. With `emulated`, the same
// sources as plain C++ against the emulation of the tests, for a machine without GPU and nvcc.
//   node src/engine/native/build-cuda.mjs [--emulated] [--sanitize]
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compile, findCompiler, link } from './build.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, '../../..');
const cuda = join(here, 'cuda');
const checks = join(root, 'test/native/cuda');
const bench = join(root, 'bench/cuda');

/** Of the CPU core, what the library reads weights with. */
const SHARED_FILES = ['dequantize.cc', 'matrix.cc', 'memory.cc', 'thread-pool.cc', 'weights.cc'];

/** Machine code for Hopper, and intermediate code that a driver compiles for others. */
const ARCHITECTURES = [
  ...['-gencode', 'arch=compute_90a,code=sm_90a'],
  ...['-gencode', 'arch=compute_80,code=compute_80'],
  ...['-gencode', 'arch=compute_89,code=compute_89'],
];

/** nvcc's name and version; undefined where there is none. `NVCC` names another one. */
export function findNvcc() {
  const name = process.env.NVCC ?? 'nvcc';
  const probe = spawnSync(name, ['--version'], { encoding: 'utf8' });
  if (probe.status !== 0) return undefined;
  return { name, version: /release ([\d.]+)/.exec(probe.stdout)?.[1] ?? 'unknown' };
}

function toolchain({ emulated, sanitize }) {
  const warnings = ['-Wall', '-Wextra'];
  if (emulated) {
    const compiler = findCompiler();
    const sanitizer = sanitize
      ? ['-fsanitize=address,undefined', '-fno-sanitize-recover=undefined', '-fno-omit-frame-pointer', '-g1']
      : [];
    const include = join(checks, 'emulation');
    const common = [
      ...[
        '-std=c++20',
        '-O2',
        '-fPIC',
        '-pthread',
        '-fvisibility=hidden',
        '-ffp-contract=off',
        '-DPM_EMULATED',
      ],
      ...[...warnings, '-Wno-unused-function', `-I${include}`, ...sanitizer],
    ];
    return {
      compiler,
      include,
      flags: common,
      kernelFlags: [...common, '-x', 'c++'],
      linkFlags: ['-pthread', ...sanitizer],
      sources: sourcesIn(include, '.cc'),
      suffix: sanitize ? '.emulated.asan' : '.emulated',
    };
  }
  const compiler = findNvcc();
  if (compiler === undefined)
    throw new Error(
      'nvcc is not found: install the CUDA toolkit 13 or newer, or set NVCC; without it the engine runs on the CPU',
    );
  const include = join(cuda, 'hopper');
  const host = ['-fPIC', '-fvisibility=hidden', ...warnings].join(',');
  const common = ['-std=c++20', '-O3', '-Xcompiler', host, `-I${include}`];
  return {
    compiler,
    include,
    flags: common,
    kernelFlags: [...common, ...ARCHITECTURES, '--expt-relaxed-constexpr'],
    // The runtime and the C++ library inside: only libc and the driver are needed where it runs.
    linkFlags: ['-cudart', 'static', '-Xcompiler', '-static-libstdc++,-static-libgcc'],
    sources: [],
    suffix: '',
  };
}

function sourcesIn(folder, extension) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((file) => file.endsWith(extension))
    .sort()
    .map((file) => join(folder, file));
}

/**
 * Compiles what changed and links the library, and beside it `cuda-check` and `cuda-bench`. Returns the library's path.
 * Rejects with one clear message when there is no compiler or it fails.
 */
export async function buildCuda({ log = console.log, emulated = false, sanitize = false, jobs = 2 } = {}) {
  const { compiler, include, flags, kernelFlags, linkFlags, sources, suffix } = toolchain({
    emulated,
    sanitize,
  });
  const build = join(root, 'build');
  const objects = join(build, `obj-cuda${suffix}`);
  mkdirSync(objects, { recursive: true });
  const unit = (source) => ({
    source,
    isa: '',
    object: join(objects, `${basename(source).replace('.', '-')}.o`),
    command: compiler.name,
    flags: source.endsWith('.cu') ? kernelFlags : flags,
  });
  const library = [
    ...sourcesIn(join(cuda, 'kernels'), '.cu'),
    ...sourcesIn(cuda, '.cc').filter((file) => basename(file) !== 'twins.cc'),
    ...SHARED_FILES.map((file) => join(here, file)),
    ...sources,
  ].map(unit);
  const isProgram = (file) => /^(cuda-check|check)/.test(basename(file));
  const checking = [...sourcesIn(checks, '.cc').filter(isProgram), join(cuda, 'twins.cc')].map(unit);
  const timing = sourcesIn(bench, '.cc').map(unit);
  const output = join(build, `pointsman_cuda${suffix}.so`);
  const units = [...library, ...checking, ...timing];
  const compiled = await compile(units, { context: JSON.stringify(compiler), jobs, log, folders: [include] });
  const programs = [
    { output: join(build, `cuda-check${suffix}`), units: checking },
    ...(timing.length > 0 ? [{ output: join(build, `cuda-bench${suffix}`), units: timing }] : []),
  ];
  if (
    compiled === 0 &&
    [output, ...programs.map((program) => program.output)].every((file) => existsSync(file))
  )
    return output;
  const objectsOf = (of) => of.map(({ object }) => object);
  log(`native: linking ${basename(output)}`);
  await link(compiler.name, ['-shared', ...linkFlags, ...objectsOf(library)], output);
  const kernels = library.filter(({ source }) => !source.endsWith('backend.cc'));
  for (const program of programs)
    await link(compiler.name, [...linkFlags, ...objectsOf([...program.units, ...kernels])], program.output);
  return output;
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    await buildCuda({
      emulated: process.argv.includes('--emulated'),
      sanitize: process.argv.includes('--sanitize'),
    });
  } catch (error) {
    console.error(`native: ${error.message}`);
    process.exitCode = 1;
  }
}
