/**
 * Builds what must be built: TypeScript into `dist/`, SIMD code and the engine's native code into `build/`.
 * Plain JavaScript, because it runs before anything is compiled.
 *
 *   node src/commands/build.mjs             build everything that changed
 *   node src/commands/build.mjs --if-stale  the same, and silent when there is nothing to do
 *   node src/commands/build.mjs --cuda      also the CUDA library, with nvcc
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const dist = join(root, 'dist');
const mainFile = join(dist, 'src', 'commands', 'main.js');
const stampFile = join(dist, '.sources');
const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
const sourceFolders = ['src', 'scorers', 'bench'];
const settings = ['tsconfig.json', 'tsconfig.build.json', 'package.json'];

/** A reason to stop that a person can act on; printed without a stack. */
class BuildError extends Error {}

async function main() {
  const isQuiet = process.argv.includes('--if-stale');
  const started = performance.now();
  checkNode();
  checkNodeModules();
  const didTypeScript = await buildTypeScript();
  const { buildNative } = await import('../engine/native/build.mjs');
  const { buildSimd } = await import('../simd/build.mjs');
  const didSimd = await buildStep('simd', buildSimd);
  const didNative = await buildStep('native', buildNative);
  const didCuda = process.argv.includes('--cuda') && (await buildCudaCode());
  if (didTypeScript || didSimd || didNative || didCuda) console.log(`built in ${seconds(started)}`);
  else if (!isQuiet) console.log('everything is up to date');
}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 18)) return;
  throw new BuildError(`Node 20.18 or newer is needed, this is ${process.versions.node}`);
}

function checkNodeModules() {
  const isComplete =
    existsSync(tsc) &&
    ['node-addon-api', 'assemblyscript'].every((name) => existsSync(join(root, 'node_modules', name)));
  if (!isComplete) throw new BuildError('node_modules is missing or incomplete: run `npm ci` first');
}

async function buildTypeScript() {
  const sources = sourceFolders.flatMap((folder) => typeScriptFiles(join(root, folder)));
  const stamp = fingerprint([...sources, ...settings.map((name) => join(root, name))]);
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return false;

  const started = performance.now();
  console.log(`TypeScript: compiling ${sources.length} files`);
  removeOrphans(sources);
  if (!existsSync(mainFile)) rmSync(join(dist, '.tsbuildinfo'), { force: true });
  const { code, output } = await execute(process.execPath, [tsc, '-p', join(root, 'tsconfig.build.json')]);
  if (code !== 0) {
    process.stderr.write(output);
    throw new BuildError('TypeScript found the errors above');
  }
  chmodSync(mainFile, 0o755);
  writeFileSync(stampFile, stamp);
  console.log(`TypeScript: done in ${seconds(started)}`);
  return true;
}

async function buildStep(name, build) {
  const started = performance.now();
  let steps = 0;
  const log = (line) => {
    steps++;
    console.log(line);
  };
  try {
    await build({ log });
  } catch (error) {
    throw new BuildError(error.message, { cause: error });
  }
  if (steps > 0) console.log(`${name}: done in ${seconds(started)}`);
  return steps > 0;
}

async function buildCudaCode() {
  const { buildCuda } = await import('../engine/native/build-cuda.mjs');
  return buildStep('CUDA', buildCuda);
}

function typeScriptFiles(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

/** Names, sizes and times of change; reading the contents would cost more than it tells. */
function fingerprint(files) {
  const hash = createHash('sha256').update(process.versions.node.split('.')[0]);
  for (const file of files) {
    const { size, mtimeMs } = statSync(file);
    hash.update(`${relative(root, file)} ${size} ${mtimeMs}\n`);
  }
  return hash.digest('hex');
}

/** Deletes compiled files whose source is gone: a deleted scorer must not stay loadable. */
function removeOrphans(sources) {
  const expected = new Set(sources.map((file) => relative(root, file).replace(/\.ts$/, '')));
  for (const folder of sourceFolders) {
    const compiled = join(dist, folder);
    if (!existsSync(compiled)) continue;
    for (const entry of readdirSync(compiled, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const file = join(entry.parentPath ?? entry.path, entry.name);
      if (!expected.has(relative(dist, file).replace(/\.(js|js\.map|d\.ts)$/, ''))) rmSync(file);
    }
  }
  mkdirSync(dist, { recursive: true });
}

function execute(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (chunk) => {
      output += chunk;
    });
    child.stderr.on('data', (chunk) => {
      output += chunk;
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, output }));
  });
}

function seconds(started) {
  return `${((performance.now() - started) / 1000).toFixed(1)} s`;
}

main().catch((error) => {
  console.error(`build failed: ${error.message}`);
  if (!(error instanceof BuildError)) console.error(error.stack);
  process.exitCode = 1;
});
