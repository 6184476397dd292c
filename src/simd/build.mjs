// Compiles assembly/ to build/pointsman_simd.wasm with AssemblyScript's compiler.
//   node src/simd/build.mjs
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, '../..');
const sources = join(here, 'assembly');
const output = join(root, 'build', 'pointsman_simd.wasm');
const stampFile = join(root, 'build', 'pointsman_simd.stamp');

/** No runtime: the module has no objects, strings or imports, and its memory is what layout.ts says. */
const flags = [
  '--runtime',
  'stub',
  '--use',
  'abort=',
  '--enable',
  'simd',
  '--optimizeLevel',
  '3',
  '--noAssert',
];

/** Compiles what changed; returns the module's path. */
export async function buildSimd({ log = console.log } = {}) {
  const stamp = stampOf();
  if (existsSync(output) && existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return output;
  log('simd: compiling src/simd/assembly to WebAssembly');
  const { main } = await import('assemblyscript/asc');
  const files = new Map();
  const { error, stderr } = await main(['index.ts', '--outFile', 'out.wasm', ...flags], {
    readFile: (name, folder) => {
      const file = join(sources, folder === '.' ? '' : folder, name);
      return existsSync(file) ? readFileSync(file, 'utf8') : null;
    },
    writeFile: (name, contents) => files.set(name, contents),
    listFiles: () => [],
  });
  const wasm = files.get('out.wasm');
  if (error !== null || wasm === undefined) throw new Error(`${stderr.toString()}${error?.message ?? ''}`);
  mkdirSync(dirname(output), { recursive: true });
  // Renamed, so that nobody reads half of it.
  writeFileSync(`${output}.new`, wasm);
  renameSync(`${output}.new`, output);
  writeFileSync(stampFile, stamp);
  return output;
}

function stampOf() {
  const { version } = JSON.parse(
    readFileSync(join(root, 'node_modules', 'assemblyscript', 'package.json'), 'utf8'),
  );
  const hash = createHash('sha256').update(`${version} ${flags.join(' ')}`);
  for (const name of readdirSync(sources).sort()) hash.update(name).update(readFileSync(join(sources, name)));
  return hash.digest('hex');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    await buildSimd();
  } catch (error) {
    console.error(`simd: ${error.message}`);
    process.exitCode = 1;
  }
}
