import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { generate } from 'selfsigned';
import { describe, expect, it, onTestFinished } from 'vitest';
import { folderWith } from '../configuration/folder.ts';
import { type FakeEngine, startFakeEngine } from '../support/fake-engine.ts';
import { Pointsman } from '../support/pointsman.ts';

const anyPorts = ['--ext-proc-port=0', '--health-port=0', '--metrics-port=0', '--log-format=json'];

async function engine(): Promise<FakeEngine> {
  const started = await startFakeEngine();
  onTestFinished(() => started.close());
  return started;
}

async function addressOf(program: Pointsman, door: string): Promise<string> {
  const [, address] = await program.printed(new RegExp(`"address":"([^"]+)","msg":"${door} is listening"`));
  return address!;
}

async function pairFor(commonName: string): Promise<{ readonly cert: string; readonly key: string }> {
  const options = { keyType: 'ec', algorithm: 'sha256' } as const;
  const made = await generate([{ name: 'commonName', value: commonName }], options);
  return { cert: made.cert, key: made.private };
}

/** Of the certificate that a new connection is shown. */
function commonNameAt(address: string): Promise<string> {
  const port = Number(address.slice(address.lastIndexOf(':') + 1));
  return new Promise((resolve, reject) => {
    const options = { port, host: '127.0.0.1', ALPNProtocols: ['h2'], rejectUnauthorized: false };
    const socket = connect(options, () => {
      resolve(String(socket.getPeerCertificate().subject.CN));
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

describe('a running process', () => {
  it.each([0, 1])(
    'takes a new certificate, and keeps the old one while the new files are no pair (%d workers)',
    async (workers) => {
      const [first, second] = [await pairFor('first'), await pairFor('second')];
      const folder = folderWith({ 'tls.crt': first.cert, 'tls.key': first.key });
      const files = ['--tls-cert', join(folder, 'tls.crt'), '--tls-key', join(folder, 'tls.key')];
      const one = await engine();
      const program = new Pointsman([
        'epp',
        '--endpoints',
        one.address,
        `--ext-proc-workers=${workers}`,
        ...files,
        ...anyPorts,
      ]);
      const extProc = await addressOf(program, 'extProc');
      expect(await commonNameAt(extProc)).toBe('first');

      writeFileSync(join(folder, 'tls.crt'), second.cert);
      await program.printed(
        /"reason":"[^"]*mismatch[^"]*","msg":"certificate not reloaded; the last good one stays"/,
      );
      expect(await commonNameAt(extProc)).toBe('first');

      writeFileSync(join(folder, 'tls.key'), second.key);
      await program.printed(/"msg":"certificate reloaded"/);
      expect(await commonNameAt(extProc)).toBe('second');
      expect(program.stderr.match(/certificate not reloaded/g)).toHaveLength(1);
    },
  );

  it('follows a changed file without a signal, and tells a broken one in one line', async () => {
    const one = await engine();
    const yaml = (name: string) =>
      `pool: { endpoints: [{ address: "${one.address}" }] }\nmodelRewrites: [{ match: ${name}, targets: [{ model: fake-model }] }]\n`;
    const folder = folderWith({ 'pointsman.yaml': yaml('first') });
    const program = new Pointsman(['gateway', '-c', 'pointsman.yaml', '--port=0', ...anyPorts], {
      cwd: folder,
    });
    const gateway = await addressOf(program, 'gateway');
    await program.printed(/"msg":"endpoint ready"/);
    const models = async () => {
      const answer = await (await fetch(`http://${gateway}/v1/models`)).json();
      return (answer as { data: { id: string }[] }).data.map(({ id }) => id);
    };
    const statusOf = async (model: string) => {
      const body = JSON.stringify({ model, prompt: 'Hello' });
      const options = { method: 'POST', headers: { 'content-type': 'application/json' }, body };
      return (await fetch(`http://${gateway}/v1/completions`, options)).status;
    };
    expect(await models()).toEqual(['fake-model', 'first']);
    expect([await statusOf('first'), await statusOf('second')]).toEqual([200, 404]);

    writeFileSync(join(folder, 'pointsman.yaml'), yaml('second'));
    await program.printed(/configuration reloaded/);
    expect(await models()).toEqual(['fake-model', 'second']);
    expect([await statusOf('first'), await statusOf('second')]).toEqual([404, 200]);

    writeFileSync(join(folder, 'pointsman.yaml'), 'pool: [1');
    await program.printed(/configuration not reloaded; the last good one stays/);
    expect(await statusOf('second')).toBe(200);
    expect(program.stderr.match(/configuration not reloaded/g)).toHaveLength(1);
  });

  it('names the changed keys that need a restart, and no others', async () => {
    const yaml = (level: string, port: number, strategy: string) =>
      `log: { level: ${level} }\nhealth: { port: ${port} }\nprofile: { strategy: ${strategy} }\n`;
    const folder = folderWith({ 'pointsman.yaml': yaml('info', 1, 'default') });
    const args = ['gateway', '-c', 'pointsman.yaml', '--port=0', '--metrics-port=0', '--log-format=json'];
    const program = new Pointsman(args, { cwd: folder });
    await addressOf(program, 'gateway');

    writeFileSync(join(folder, 'pointsman.yaml'), yaml('debug', 22, 'random'));
    await program.printed(
      /"keys":\["health.port","log.level"\],"msg":"configuration reloaded; what has changed in these keys needs a restart"/,
    );
    writeFileSync(join(folder, 'pointsman.yaml'), yaml('info', 1, 'round-robin'));
    await program.printed(/"msg":"configuration reloaded"}/);
  });

  it('drops the series of endpoints that have left the file', async () => {
    const engines = [await engine(), await engine()];
    const list = (all: readonly FakeEngine[]) =>
      `endpoints:\n${all.map(({ address }) => `  - { address: "${address}" }\n`).join('')}`;
    const folder = folderWith({ 'endpoints.yaml': list(engines) });
    const program = new Pointsman(
      ['gateway', '--endpoints-file', 'endpoints.yaml', '--port=0', ...anyPorts],
      { cwd: folder },
    );
    const gateway = await addressOf(program, 'gateway');
    for (const { address } of engines)
      await program.printed(new RegExp(`"endpoint":"${address}","msg":"endpoint ready"`));
    const [gone, stays] = engines as [FakeEngine, FakeEngine];
    const seriesOf = async ({ address }: FakeEngine) => {
      const text = await (await fetch(`http://${gateway}/metrics`)).text();
      return text.split('\n').filter((line) => line.includes(`"${address}"`));
    };
    for (let at = 0; gone.requests.length === 0 || stays.requests.length === 0; at++) {
      const body = JSON.stringify({ model: 'fake-model', prompt: `${at}`.repeat(400) });
      const options = { method: 'POST', headers: { 'content-type': 'application/json' }, body };
      await (await fetch(`http://${gateway}/v1/completions`, options)).arrayBuffer();
    }
    const names = (lines: readonly string[]) =>
      new Set(lines.map((line) => line.slice(0, line.indexOf('{'))));
    const before = names(await seriesOf(gone));
    for (const name of ['pointsman_decisions_total', 'pointsman_requests_total', 'pointsman_scrapes_total'])
      expect(before).toContain(name);
    expect(before).toContain('llm_d_epp_inflight_requests');
    expect(before).toContain('llm_d_epp_scheduler_attempts_total');

    writeFileSync(join(folder, 'endpoints.yaml'), list([stays]));
    await program.printed(/"msg":"endpoint removed"/);
    expect(await seriesOf(gone)).toEqual([]);
    expect(names(await seriesOf(stays))).toEqual(before);
  });
});
