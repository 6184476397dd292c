import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SimdCode } from './simd-code.ts';

export type SimdLoad =
  | { readonly code: SimdCode; readonly fault?: undefined }
  | { readonly code?: undefined; readonly fault: string };

/** Loads a compiled module: within a few milliseconds, synchronously. Never throws: without it, JavaScript does the work. */
export function loadSimdCode(file: string = builtFile()): SimdLoad {
  // A Node that may not compile at run time (--jitless) has none.
  if (typeof WebAssembly === 'undefined') return { fault: 'this Node runs without WebAssembly' };
  if (!existsSync(file)) return { fault: `${file} does not exist; run \`npm run build\`` };
  try {
    return { code: new SimdCode(new WebAssembly.Module(readFileSync(file))) };
  } catch (error) {
    return { fault: `${file} does not load: ${error instanceof Error ? error.message : String(error)}` };
  }
}

/** One for the whole process, loaded by the first call: each use of it is one synchronous step. */
let loaded: SimdLoad | undefined;

/** Undefined where it cannot be had. */
export function simdCode(): SimdCode | undefined {
  loaded ??= loadSimdCode();
  return loaded.code;
}

/** Why there is none. */
export function simdFault(): string | undefined {
  loaded ??= loadSimdCode();
  return loaded.fault;
}

/** `build/` of the package, seen from `src/simd/` and from `dist/src/simd/` alike. */
function builtFile(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json')) && dirname(folder) !== folder) folder = dirname(folder);
  return join(folder, 'build', 'pointsman_simd.wasm');
}
