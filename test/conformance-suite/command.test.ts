import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { runProgram } from '../../src/commands/index.ts';
import type { RunningServer } from '../../src/protocol/running-server.ts';
import { type Faults, serveFakePicker } from './fake-picker.ts';
import { openBackends } from './served-picker.ts';

let endpoints: readonly string[];
const servers: RunningServer[] = [];

beforeAll(async () => {
  const opened = await openBackends();
  // The command starts its own at these addresses.
  await opened.backends.close();
  endpoints = opened.endpoints;
});
afterAll(async () => {
  for (const server of servers) await server.close(0);
});
afterEach(() => {
  vi.restoreAllMocks();
  process.exitCode = undefined;
});

async function run(...args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const written = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    vi.spyOn(process[name], 'write').mockImplementation((text) => {
      written[name] += String(text);
      return true;
    });
  }
  const code = await runProgram(['conformance', ...args]);
  vi.restoreAllMocks();
  return { code, ...written };
}

async function judge(faults: Faults, ...args: readonly string[]) {
  const server = await serveFakePicker(endpoints, faults);
  servers.push(server);
  const pool = endpoints.flatMap((endpoint) => ['--endpoint', endpoint]);
  return run(
    server.address,
    ...pool,
    '--timeout-ms',
    '2000',
    '--only',
    'destination.*(istio|agentgateway)',
    ...args,
  );
}

describe('pointsman conformance', () => {
  it('lists its cases, by dialect', async () => {
    const { code, stdout } = await run('--list', '--dialect', 'ngf');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^clause +case +dialect +level +what is judged\n/);
    expect(stdout).toContain('8: header and metadata do not differ');
    expect(stdout).not.toContain('istio');
  });

  it('prints a table and a summary, writes a report, and succeeds', async () => {
    const file = join(mkdtempSync(join(tmpdir(), 'conformance-')), 'report.json');
    const { code, stdout, stderr } = await judge({}, '--json', file);
    expect(stderr).toContain(`the pool of the picker should hold ${endpoints.join(', ')}`);
    expect(stdout).toMatch(/^8 +destination-equal +istio +MUST +passed/m);
    expect(stdout).toMatch(/\n\d+ passed, 0 failed, 0 skipped\n$/);
    expect(code).toBe(0);
    const report = JSON.parse(readFileSync(file, 'utf8')) as { passed: number; cases: { clause: string }[] };
    expect(report.cases).toHaveLength(report.passed);
    expect(report).toMatchObject({ failed: 0, endpointsSeen: endpoints });
  });

  it('fails with exit code 1 on a MUST, and tells what was expected and found', async () => {
    const { code, stdout, stderr } = await judge({ otherMetadata: true });
    expect(code).toBe(1);
    expect(stdout).toMatch(
      /^8 +destination-equal +agentgateway +MUST +failed +the header's \S+ +192\.0\.2\.7:1/m,
    );
    expect(stderr).toContain('MUST 8: header and metadata do not differ [agentgateway]');
  });

  it('says so when nobody listens, and when nothing matches', async () => {
    const nobody = await run('127.0.0.1:1', '--warm-up-ms', '100');
    expect(nobody).toMatchObject({ code: 1 });
    expect(nobody.stderr).toContain('cannot connect to 127.0.0.1:1');
    expect(await run('127.0.0.1:1', '--only', 'no such case')).toMatchObject({ code: 2 });
    expect(await run('nowhere')).toMatchObject({ code: 2 });
  });
});
