import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Limits of the machine; products that it has no instruction for are absent. */
export interface Roofline {
  readonly readGBs: number;
  readonly float32GFLOPs?: number;
  readonly bfloat16GFLOPs?: number;
  readonly int8GOPs?: number;
}

/** Compiles the probe into `folder` for this machine and runs it. */
export function measureRoofline(folder: string, threads: number): Roofline {
  const program = join(folder, 'roofline');
  const compiler = process.env['CXX'] ?? 'g++';
  execFileSync(compiler, ['-O3', '-march=native', '-std=c++20', '-pthread', '-o', program, probeSource()]);
  return JSON.parse(execFileSync(program, [String(threads)], { encoding: 'utf8' })) as Roofline;
}

/** Beside this file, or, once compiled, in the sources. */
function probeSource(): string {
  const beside = fileURLToPath(new URL('roofline.cc', import.meta.url));
  return existsSync(beside)
    ? beside
    : fileURLToPath(new URL('../../../bench/engine/roofline.cc', import.meta.url));
}
