import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, expect, it } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'pointsman-start-'));
afterAll(() => rmSync(folder, { recursive: true }));

it('every way of starting names the same young generation', () => {
  const ways = [
    'src/commands/main.ts',
    'package.json',
    'Dockerfile',
    'src/ext-proc/workers/worker-process.ts',
  ];
  const sizes = ways.map((file) => readFileSync(file, 'utf8').match(/--max-semi-space-size=\d+/g));
  expect(new Set(sizes.flat()).size).toBe(1);
  expect(sizes.map((found) => found?.length)).toEqual([1, 1, 1, 1]);
});

it('the program starts Node with its flag and passes its arguments on, by a link too', () => {
  const node = join(folder, 'node');
  writeFileSync(node, '#!/bin/sh\nfor each in "$@"; do echo "$each"; done\n');
  chmodSync(node, 0o755);
  const link = join(folder, 'pointsman');
  symlinkSync(resolve('src/commands/main.ts'), link);
  const told = execFileSync('/bin/sh', [link, 'check', 'a file.yaml', '--x=$HOME'], {
    env: { PATH: `${folder}:/usr/bin:/bin` },
    encoding: 'utf8',
  });
  expect(told).toBe(`--max-semi-space-size=32\n${link}\ncheck\na file.yaml\n--x=$HOME\n`);
});
