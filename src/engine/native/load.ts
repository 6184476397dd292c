import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { NativeModule } from './native.ts';

/** The package root, seen from `src/engine/native/` and from `dist/src/engine/native/` alike. */
function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) {
    const parent = dirname(folder);
    if (parent === folder)
      throw new Error('pointsman: no package.json above the engine; the package is incomplete');
    folder = parent;
  }
  return folder;
}

/** Names another build of the addon; test/native/sanitized.mjs sets it. */
const addonVariable = 'POINTSMAN_NATIVE_ADDON';

/** Loads the native addon. Throws with what to do when it has not been built or does not fit this machine. */
export function loadNative(): NativeModule {
  const file = process.env[addonVariable] ?? join(packageRoot(), 'build', 'pointsman_native.node');
  if (!existsSync(file)) {
    throw new Error(`the native engine is not built: ${file} does not exist; run \`npm run build\``);
  }
  try {
    return createRequire(import.meta.url)(file) as NativeModule;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`the native engine at ${file} does not load: ${reason}`, { cause });
  }
}

/** Where the build leaves the CUDA library; it need not be there. */
export function cudaLibrary(): string {
  return join(packageRoot(), 'build', 'pointsman_cuda.so');
}
