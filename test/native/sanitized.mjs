/**
 * Runs the tests of the native core under AddressSanitizer and UndefinedBehaviorSanitizer: `npm run test:sanitized`.
 * Any report ends the run. The addon is built aside; the sanitizers' libraries are loaded before Node's own code.
 */
import { spawnSync } from 'node:child_process';
import { buildNative } from '../../src/engine/native/build.mjs';

const compiler = process.env.CXX ?? 'g++';
const library = (name) =>
  spawnSync(compiler, [`-print-file-name=${name}`], { encoding: 'utf8' }).stdout.trim();
/** They look at the size of the process. */
const memoryTests = 'gives the memory back|closes the model that it left open';
const files = [
  'test/native',
  'test/engine/determinism.test.ts',
  'test/engine/traffic.test.ts',
  'test/engine/lora/adapters.test.ts',
  'test/engine/model/mutated-files.test.ts',
];

const addon = await buildNative({ sanitize: true });

/** True if all of them pass. `quarantineMb`: freed memory that is kept back, so that its use is noticed. */
function run(title, quarantineMb, args) {
  console.log(`\n${title}`);
  const { status } = spawnSync(
    process.execPath,
    // Code runs some ten times slower here.
    ['node_modules/vitest/vitest.mjs', 'run', '--testTimeout=1200000', ...args, ...process.argv.slice(2)],
    {
      stdio: 'inherit',
      env: {
        ...process.env,
        POINTSMAN_NATIVE_ADDON: addon,
        LD_PRELOAD: `${library('libasan.so')} ${library('libubsan.so')}`,
        // Node does not free at exit; a refused allocation is one of the tests.
        ASAN_OPTIONS: `detect_leaks=0:allocator_may_return_null=1:abort_on_error=0:quarantine_size_mb=${quarantineMb}`,
        UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1',
      },
    },
  );
  return status === 0;
}

const isClean = run('All but the tests of memory that is given back:', 256, [
  ...files,
  ...['-t', `^(?!.*(${memoryTests}))`],
]);
const isGivenBack = run('Memory that is given back:', 1, [
  ...['test/native/errors.test.ts', 'test/native/worker-threads.test.ts'],
  ...['-t', memoryTests],
]);
process.exitCode = isClean && isGivenBack ? 0 : 1;
