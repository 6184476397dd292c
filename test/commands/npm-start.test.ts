import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';

const repository = join(import.meta.dirname, '..', '..');
const ports = [
  '--port=0',
  '--ext-proc-port=0',
  '--health-port=0',
  '--metrics-port=0',
  '--engine-port-base=0',
];

it('npm start ends with all that it started when npm gets SIGTERM', async () => {
  const npm = spawn('npm', ['start', '--', '--pods=1', ...ports], { cwd: repository, detached: true });
  onTestFinished(() => {
    try {
      process.kill(-npm.pid!, 'SIGKILL');
    } catch {
      // The group is gone, as it should be.
    }
  });
  const lines: string[] = [];
  npm.stdout.setEncoding('utf8').on('data', (text: string) => lines.push(text));
  npm.stderr.setEncoding('utf8').on('data', (text: string) => lines.push(text));
  await expect.poll(() => lines.join(''), { timeout: 60_000 }).toContain('Ctrl-C stops everything.');
  const [, gateway] = /gateway +(http\S+)/.exec(lines.join(''))!;
  expect((await fetch(`${gateway}/models`)).status).toBe(200);

  npm.kill('SIGTERM');
  await once(npm, 'close');
  expect(lines.join('')).toContain('"msg":"stopped"');
  await expect(fetch(`${gateway}/models`)).rejects.toThrow('fetch failed');
});
