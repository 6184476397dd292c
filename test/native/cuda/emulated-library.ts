import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { buildCuda } from '../../../src/engine/native/build-cuda.mjs';

/** Whether there is a compiler for the emulated library. */
export const hasCompiler = spawnSync(process.env['CXX'] ?? 'g++', ['--version']).status === 0;

const lock = fileURLToPath(new URL('../../../build/obj-cuda.lock', import.meta.url));
const staleMs = 600_000;

/**
 * The CUDA library's own sources, kernels included, compiled as plain C++ against the emulation of a GPU in
 * `emulation/`. Built by one test process at a time; returns its path.
 */
export async function emulatedLibrary(): Promise<string> {
  while (!takeLock()) await new Promise((resolve) => setTimeout(resolve, 250));
  try {
    return await buildCuda({ emulated: true, log: () => {} });
  } finally {
    rmSync(lock, { recursive: true, force: true });
  }
}

function takeLock(): boolean {
  try {
    mkdirSync(lock);
    return true;
  } catch {
    const heldMs = Date.now() - (statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    if (heldMs > staleMs) rmSync(lock, { recursive: true, force: true });
    return false;
  }
}
