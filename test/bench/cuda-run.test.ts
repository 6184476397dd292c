import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

const script = join(import.meta.dirname, '../../bench/cuda/run');

/** The programs of a part of the check: what each prints, and how it ends. */
const parts: Readonly<Record<string, string>> = {
  rows: 'echo "ok norm: error 0"',
  gemm: 'echo "ok gemm 1: error 0"; echo "FAILED gemm 2: error 9"; exit 1',
  'warpgroup-prefill': 'echo "ok warpgroup 1: error 0"; exit 124',
};

/** Runs the script in a folder of its own, on a machine that seems to have a GPU; `node` says what it is called with. */
function run(args: readonly string[], programs: Readonly<Record<string, string>> = parts) {
  const root = mkdtempSync(join(tmpdir(), 'pointsman-cuda-run-'));
  const program = (path: string, body: string) => {
    writeFileSync(join(root, path), `#!/bin/bash\n${body}\n`);
    chmodSync(join(root, path), 0o755);
  };
  for (const folder of ['bench/cuda', 'build', 'bin', 'out'])
    mkdirSync(join(root, folder), { recursive: true });
  copyFileSync(script, join(root, 'bench/cuda/run'));
  program('bin/nvidia-smi', 'echo "NVIDIA H200, 580.1"');
  program('bin/python3', 'case "$1" in -c) ;; *) echo "peers: none here" ;; esac');
  program('bin/compute-sanitizer', 'while [ "$1" != build/cuda-check ]; do shift; done; "$@"');
  program('build/node', 'echo "called with $*"; case "$*" in *llama-8b*) exit 1 ;; esac');
  program('build/cuda-bench', 'echo "| ceiling | 1.0 |"');
  const cases = Object.entries(programs).map(([name, body]) => `${name}) ${body} ;;`);
  program(
    'build/cuda-check',
    `if [ "$1" = --list ]; then echo "${Object.keys(programs).join('\n')}"; exit; fi\n` +
      `while [ "$1" != --only ]; do shift; done\ncase "$2" in\n${cases.join('\n')}\nesac`,
  );
  writeFileSync(join(root, 'build/pointsman_cuda.so'), '');
  const { status, stdout } = spawnSync('bash', ['bench/cuda/run', '--out', 'out', ...args], {
    ...{ cwd: root, encoding: 'utf8' },
    env: { PATH: `${join(root, 'bin')}:${process.env['PATH']}` },
  });
  const files = readdirSync(join(root, 'out')).sort();
  const [log, report] = files.map((file) => readFileSync(join(root, 'out', file), 'utf8'));
  return { status, stdout, files, log: log!, report: report! };
}

describe('the script for a device', () => {
  test('goes on after a part that fails and one that hangs, and says so', () => {
    const { status, report, log, files } = run([]);
    expect(status).toBe(1);
    expect(report).toContain('# CUDA backend on NVIDIA H200, 580.1');
    expect(report).toContain('check: 1 of 3 parts passed, 3 cases passed, 1 failed.');
    expect(report).toMatch(/gemm: status 1\n {4}FAILED gemm 2/);
    expect(report).toMatch(/warpgroup-prefill: ended after \d+ s; last it said:\n {4}ok warpgroup 1/);
    expect(log).toContain('---- check, gemm: status 1\nok gemm 1');
    expect(report).toMatch(/## kernels\n\n\| ceiling \| 1\.0 \|/);
    expect(files.map((file) => file.slice(10))).toEqual(['-cuda.log', '-cuda.md']);
  });

  test('runs the engine without kernels of warpgroups where these fail, a process for each piece', () => {
    const { report } = run([]);
    const calls = [...report.matchAll(/called with dist\/bench\/cuda\/engine-main\.js (.*)/g)].map(
      ([, args]) => args,
    );
    expect(calls).toEqual([
      '--kernels plain --only agreement',
      '--kernels plain --only steps --shapes qwen3-0.6b',
      '--kernels plain --only steps --shapes llama-8b',
      '--kernels plain --only workload',
    ]);
    expect(report).toContain('steps of the 8B shape: failed with status 1');
    expect(report).toMatch(
      /What was asked for\n\ncalled with dist\/bench\/cuda\/goals-main\.js out\/.*-cuda\.md/,
    );
  });

  test('passes when all does', () => {
    const { status, report } = run(['--only', 'check,agreement,peers,sanitize'], { rows: parts['rows']! });
    expect(status).toBe(0);
    expect(report).toContain('--kernels best --only agreement');
    expect(report).toContain('peers: none here');
    for (const tool of ['check', 'memcheck', 'racecheck', 'synccheck'])
      expect(report).toContain(`${tool}: 1 of 1 parts passed, 1 cases passed, 0 failed.`);
  });

  test('begins nothing when the time is up', () => {
    const { status, report } = run(['--only', 'check,kernels', '--seconds', '2']);
    expect(status).toBe(1);
    expect(report).toContain('check: left out, the time is up');
    expect(report).toContain('kernels: left out, the time is up');
  });
});
