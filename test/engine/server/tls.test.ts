import { mkdtempSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { generate } from 'selfsigned';
import { describe, expect, test } from 'vitest';
import type { TlsFileOptions } from '../../../src/engine/server/tls-files.ts';
import { TlsFiles } from '../../../src/engine/server/tls-files.ts';
import { silentLog } from '../../../src/telemetry/log.ts';
import { until } from '../../support/until.ts';
import type { FakeEngine } from '../support/fake-engine.ts';
import { startedEngines } from '../support/started-engines.ts';

const start = startedEngines();
const folder = mkdtempSync(join(tmpdir(), 'pointsman-tls-'));

/** A certificate that signs itself, in files of this name. */
async function pair(name: string) {
  const { cert, private: key } = await generate([{ name: 'commonName', value: name }], { keySize: 2048 });
  const files = { certFile: join(folder, `${name}.crt`), keyFile: join(folder, `${name}.key`) };
  const write = (to = files) => {
    writeFileSync(to.keyFile, key);
    writeFileSync(to.certFile, cert);
  };
  write();
  return { cert, key, files, write };
}
const one = await pair('one');
const two = await pair('two');

const serve = (options: TlsFileOptions) => start({}, { tls: new TlsFiles(options, silentLog) });

interface Client {
  readonly cert?: string;
  readonly key?: string;
}

/** What a client hears, and from whom. Rejects if the connection fails. */
function ask({ server }: FakeEngine, client: Client = {}): Promise<{ subject: string; body: string }> {
  return new Promise((resolve, reject) => {
    const options = {
      port: server.port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      agent: false as const,
    };
    const body = JSON.stringify({ prompt: 'x', max_tokens: 3, stream: true });
    const headers = { 'content-type': 'application/json' };
    const sent = request({ ...options, ...client, path: '/v1/completions', method: 'POST', headers });
    sent.once('error', reject);
    sent.once('response', (response) => {
      const subject = (response.socket as TLSSocket).getPeerCertificate().subject.CN;
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.once('error', reject);
      response.once('end', () => resolve({ subject: String(subject), body: String(Buffer.concat(chunks)) }));
    });
    sent.end(body);
  });
}

describe('TLS', () => {
  test('carries requests and streams', async () => {
    const engine = await serve({ ...one.files, certReqs: 0 });
    const { subject, body } = await ask(engine);
    expect(subject).toBe('one');
    expect(body).toContain('data: [DONE]');
    await engine.server.close();
  });

  test.each([
    [0, 'served', 'served', 'served'],
    [1, 'served', 'served', 'refused'],
    [2, 'refused', 'served', 'refused'],
  ] as const)('with --ssl-cert-reqs %i asks for certificates', async (certReqs, without, known, unknown) => {
    const engine = await serve({ ...one.files, caFile: two.files.certFile, certReqs });
    const outcome = (client: Client) =>
      ask(engine, client).then(
        () => 'served',
        () => 'refused',
      );
    expect([await outcome({}), await outcome(two), await outcome(one)]).toEqual([without, known, unknown]);
  });

  test('follows its files, and keeps the last good ones', async () => {
    const three = await pair('three');
    const engine = await serve({ ...three.files, certReqs: 0 });
    writeFileSync(three.files.certFile, 'broken');
    expect((await ask(engine)).subject).toBe('three');
    two.write(three.files);
    await until(async () => (await ask(engine)).subject === 'two', 10_000);
  });

  test.each([
    [{ certFile: '/nowhere.crt', certReqs: 0 }, /--ssl-certfile \/nowhere\.crt.* must be PEM files/],
    [{ ...one.files, keyFile: two.files.keyFile, certReqs: 0 }, /must be PEM files that fit together/],
    [{ ...one.files, certReqs: 2 }, /say with --ssl-ca-certs/],
    [{ ...one.files, ciphers: 'none', certReqs: 0 }, /no cipher match/i],
  ] as const)('%j is refused with a reason', (options, reason) => {
    expect(() => new TlsFiles(options, silentLog)).toThrow(reason);
  });
});
