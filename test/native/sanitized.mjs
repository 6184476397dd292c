/**
 * Runs the tests of the native core under AddressSanitizer and UndefinedBehaviorSanitizer: `npm run test:sanitized`.
 * Any report ends the run. The addon is built aside; the sanitizers' libraries are loaded before Node's own code.
 */
import { spawnSync } from 'node:child_process';
import { buildNative } from '../../src/engine/native/build.mjs';

const compiler = process.env.CXX ?? 'g++';
const library = (name) =>
  spawnSync(compiler, [`-print-file-name=${name}`], { encoding: 'utf8' }).stdout.trim();

const addon = await buildNative({ sanitize: true });
const { status } = spawnSync(
  process.execPath,
  [
    'node_modules/vitest/vitest.mjs',
    ...['run', 'test/native', 'test/engine/determinism.test.ts'],
    // Its hundreds of models take half an hour here; the other files run the same code.
    ...['--exclude', '**/batch-invariance.test.ts'],
    // Freed memory is kept back by the sanitizer, so the size of the process says nothing.
    ...['-t', '^(?!.*(gives the memory back|closes the model that it left open))'],
    ...process.argv.slice(2),
  ],
  {
    stdio: 'inherit',
    env: {
      ...process.env,
      POINTSMAN_NATIVE_ADDON: addon,
      LD_PRELOAD: `${library('libasan.so')} ${library('libubsan.so')}`,
      // Node does not free at exit; a refused allocation is one of the tests.
      ASAN_OPTIONS: 'detect_leaks=0:allocator_may_return_null=1:abort_on_error=0',
      UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1',
    },
  },
);
process.exitCode = status ?? 1;
