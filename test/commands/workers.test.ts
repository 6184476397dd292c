import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { folderWith } from '../configuration/folder.ts';
import {
  type Exchange,
  ExtProcClient,
  fullDuplex,
  requestBody,
  requestHeaders,
  responseBody,
  responseHeaders,
} from '../support/ext-proc-client.ts';
import { startFakeEngine } from '../support/fake-engine.ts';
import { Pointsman } from '../support/pointsman.ts';

const anyPorts = ['--ext-proc-port=0', '--health-port=0', '--metrics-port=0', '--log-format=json'];
const answer = '{"usage":{"prompt_tokens":3,"completion_tokens":1}}';

async function start(yaml = '', flags: readonly string[] = [], engines = 1) {
  const started = await Promise.all(Array.from({ length: engines }, () => startFakeEngine()));
  for (const engine of started) onTestFinished(() => engine.close());
  const endpoints = started.map(({ address }) => address);
  const folder = folderWith({ 'pointsman.yaml': yaml });
  const workers = ['--ext-proc-workers=2', '--tls=off', '--log-level=debug', '--drain-delay=0'];
  const program = new Pointsman(
    ['epp', '-c', 'pointsman.yaml', '--endpoints', endpoints.join(','), ...workers, ...anyPorts, ...flags],
    { cwd: folder },
  );
  const addressOf = async (door: string) =>
    (await program.printed(new RegExp(`"address":"([^"]+)","msg":"${door} is listening"`)))[1]!;
  const address = await addressOf('extProc');
  const metrics = await addressOf('metrics');
  for (const { address: each } of started)
    await program.printed(new RegExp(`"endpoint":"${each}"[^}]*"msg":"endpoint ready"`));
  return {
    program,
    endpoints,
    folder,
    /** Each on a connection of its own. */
    connect: () => {
      const client = new ExtProcClient({ address });
      onTestFinished(() => client.close());
      return client;
    },
    pids: () =>
      [...program.stderr.matchAll(/"pid":(\d+),"msg":"ext-proc worker ready"/g)].map(([, pid]) =>
        Number(pid),
      ),
    metric: async (name: string) => {
      const text = await (await fetch(`http://${metrics}/metrics`)).text();
      const lines = text
        .split('\n')
        .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
      return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
    },
  };
}

/** A request up to its pick; false if there was none. */
async function begin(client: ExtProcClient, model = 'fake-model'): Promise<Exchange | undefined> {
  const exchange = client.open();
  const body = JSON.stringify({ model, messages: [{ role: 'user', content: 'hello' }] });
  exchange.send(requestHeaders({ modes: fullDuplex })).send(requestBody(body));
  if ((await exchange.next())?.response !== 'requestHeaders') return undefined;
  await exchange.nextBody('requestBody');
  return exchange;
}

async function complete(exchange: Exchange): Promise<boolean> {
  exchange.send(responseHeaders({ ':status': '200', 'content-type': 'application/json' }));
  exchange.send(responseBody(answer, true));
  for (let replies = 0; replies < 2; replies++) if ((await exchange.next()) === undefined) return false;
  exchange.halfClose();
  return (await exchange.finished).code === 0;
}

/** Not one that has ended and is still listed because nobody has asked how. */
function isRunning(pid: number): boolean {
  const { stdout } = spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' });
  return /^[^Z]/.test(stdout.trim());
}

describe('pointsman epp with workers', () => {
  it('gives connections to all workers, and counts their streams', async () => {
    const { connect, pids, metric } = await start();
    expect(new Set(pids()).size).toBe(2);
    const open = await Promise.all(
      [connect(), connect(), connect(), connect()].map((client) => begin(client)),
    );
    await expect.poll(() => metric('llm_d_epp_extproc_streams_inflight')).toBe(4);
    expect(await metric('llm_d_epp_inflight_requests')).toBe(4);
    for (const exchange of open) expect(await complete(exchange!)).toBe(true);
    await expect.poll(() => metric('llm_d_epp_extproc_streams_total')).toBe(4);
    await expect.poll(() => metric('pointsman_ext_proc_phase_seconds_count')).toBe(16);
    expect(await metric('llm_d_epp_extproc_streams_inflight')).toBe(0);
    expect(await metric('llm_d_epp_inflight_requests')).toBe(0);
    expect(await metric('llm_d_epp_request_output_tokens_sum')).toBe(4);
  });

  it('loses the streams of a worker that is killed under load, and nothing else', async () => {
    const { program, connect, pids, metric } = await start();
    const clients = Array.from({ length: 4 }, connect);
    const held = await Promise.all(clients.map((client) => begin(client)));
    const load = { isOver: false, completed: 0, failed: 0 };
    const loops = clients.flatMap((client) =>
      Array.from({ length: 4 }, async () => {
        while (!load.isOver) {
          const exchange = await begin(client);
          if (exchange !== undefined && (await complete(exchange))) load.completed++;
          else load.failed++;
        }
      }),
    );
    await expect.poll(() => load.completed, { timeout: 20_000 }).toBeGreaterThan(50);
    process.kill(pids()[0]!, 'SIGKILL');
    const [, lost] = await program.printed(
      /"reason":"SIGKILL","lostRequests":(\d+),"restartMs":100,"msg":"ext-proc worker ended; its streams are lost; another is started"/,
    );
    expect(Number(lost)).toBeGreaterThanOrEqual(2);
    await expect.poll(() => pids().length, { timeout: 20_000 }).toBe(3);
    const before = load.completed;
    await expect.poll(() => load.completed, { timeout: 20_000 }).toBeGreaterThan(before + 50);
    load.isOver = true;
    await Promise.all(loops);
    // Two of the four that were held were on the other worker.
    const kept = await Promise.all(held.map((exchange) => complete(exchange!)));
    expect(kept.filter(Boolean)).toHaveLength(2);
    await expect.poll(() => metric('llm_d_epp_inflight_requests')).toBe(0);
    await expect.poll(() => metric('llm_d_epp_request_running')).toBe(0);
    await expect.poll(() => metric('llm_d_epp_extproc_streams_inflight')).toBe(0);
    expect(program.stderr.match(/ext-proc worker ended/g)).toHaveLength(1);
    expect(program.stderr).toContain('"outcome":"worker_lost"');
    program.child.kill('SIGTERM');
    expect((await program.finished()).code).toBe(0);
    expect(pids().filter(isRunning)).toEqual([]);
  }, 120_000);

  it('resets the streams of a worker that hangs, kills it, and starts another', async () => {
    const { program, connect, pids, metric } = await start();
    const clients = Array.from({ length: 4 }, connect);
    const held = await Promise.all(clients.map((client) => begin(client)));
    const [hung = 0] = pids();
    process.kill(hung, 'SIGSTOP');
    onTestFinished(() => {
      if (isRunning(hung)) process.kill(hung, 'SIGKILL');
    });
    // What it had been given before stays there: these are asked under load, and hang with it.
    const load = { isOver: false, completed: 0, failed: 0 };
    const loops = clients.map(async (client) => {
      while (!load.isOver) {
        const exchange = await begin(client);
        if (exchange !== undefined && (await complete(exchange))) load.completed++;
        else load.failed++;
      }
    });
    await expect.poll(() => load.completed, { timeout: 20_000 }).toBeGreaterThan(20);
    await program.printed(/"reason":"it was silent for too long","lostRequests":2,"restartMs":100/);
    expect(isRunning(hung)).toBe(false);
    await expect.poll(() => pids().length, { timeout: 20_000 }).toBe(3);
    // All four go on, two of them on the new worker.
    const before = load.completed;
    await expect.poll(() => load.completed, { timeout: 20_000 }).toBeGreaterThan(before + 50);
    load.isOver = true;
    await Promise.all(loops);
    expect(load.failed).toBeGreaterThanOrEqual(2);
    const kept = await Promise.all(held.map((exchange) => complete(exchange!)));
    expect(kept.filter(Boolean)).toHaveLength(2);
    for (const gauge of ['inflight_requests', 'request_running', 'extproc_streams_inflight'])
      await expect.poll(() => metric(`llm_d_epp_${gauge}`)).toBe(0);
    expect(program.stderr.match(/ext-proc worker ended/g)).toHaveLength(1);
  }, 120_000);

  it('gives no connection to a worker that is silent while another is heard of', async () => {
    const { connect, pids } = await start();
    const [hung = 0] = pids();
    process.kill(hung, 'SIGSTOP');
    onTestFinished(() => {
      if (isRunning(hung)) process.kill(hung, 'SIGKILL');
    });
    // As long as it takes to tell silence from a pause.
    await new Promise((resolve) => setTimeout(resolve, 4500));
    const begun = await Promise.all(Array.from({ length: 6 }, () => begin(connect())));
    expect(begun.filter((exchange) => exchange !== undefined)).toHaveLength(6);
  });

  it('tells the scores of all endpoints where that is asked for', async () => {
    const { connect, endpoints } = await start('', ['--emit-endpoint-scores'], 2);
    const exchange = connect().open();
    exchange
      .send(requestHeaders({ modes: fullDuplex }))
      .send(requestBody('{"model":"fake-model","prompt":"x"}'));
    const reply = await exchange.nextOf('requestHeaders');
    const told = reply.dynamicMetadata?.fields['envoy.lb']?.structValue?.fields ?? {};
    const scores = told['x-gateway-destination-endpoint-scores']?.structValue?.fields ?? {};
    expect(Object.keys(scores).toSorted()).toEqual(endpoints.toSorted());
    const picked = told['x-gateway-destination-endpoint']?.stringValue ?? '';
    const values = Object.values(scores).map(({ numberValue }) => numberValue);
    expect(scores[picked]?.numberValue).toBe(Math.max(...values.map(Number)));
  });

  it('takes new rules to the workers when the configuration changes', async () => {
    const rewrites = (name: string) =>
      `modelRewrites: [{ match: ${name}, targets: [{ model: fake-model }] }]\n`;
    const { program, folder, connect } = await start(rewrites('first'));
    const clients = [connect(), connect()];
    const isPicked = async (model: string) => {
      const begun = await Promise.all(clients.map((client) => begin(client, model)));
      for (const exchange of begun) exchange?.cancel();
      return begun.map((exchange) => exchange !== undefined);
    };
    expect(await isPicked('first')).toEqual([true, true]);
    writeFileSync(join(folder, 'pointsman.yaml'), rewrites('second'));
    await program.printed(/configuration reloaded/);
    await expect.poll(() => isPicked('second')).toEqual([true, true]);
    expect(await isPicked('first')).toEqual([false, false]);
  });

  it('finishes streams when the picker is killed, and then ends', async () => {
    const { program, connect, pids } = await start();
    const exchange = await begin(connect());
    const other = connect();
    program.child.kill('SIGKILL');
    // Its workers go on printing.
    await once(program.child, 'exit');
    await expect.poll(async () => (await begin(other)) === undefined).toBe(true);
    expect(pids().filter(isRunning).length).toBeGreaterThan(0);
    expect(await complete(exchange!)).toBe(true);
    await expect.poll(() => pids().filter(isRunning), { timeout: 10_000 }).toEqual([]);
  });

  it('ends with its workers at once when it is told twice', async () => {
    const { program, connect, pids } = await start();
    await begin(connect());
    program.child.kill('SIGTERM');
    await program.printed(/"msg":"stopping/);
    const again = setInterval(() => program.child.kill('SIGTERM'), 100);
    expect((await program.finished()).code).toBe(143);
    clearInterval(again);
    await expect.poll(() => pids().filter(isRunning)).toEqual([]);
  });

  it('starts no worker with a certificate that is none, and says what is wrong with it', async () => {
    const folder = folderWith({ 'tls.crt': 'none', 'tls.key': 'none' });
    const program = new Pointsman(
      [
        'epp',
        '--endpoints=127.0.0.1:1',
        '--ext-proc-workers=2',
        '--tls-cert=tls.crt',
        '--tls-key=tls.key',
        ...anyPorts,
      ],
      { cwd: folder },
    );
    const { code, stderr } = await program.finished();
    expect(stderr).toMatch(/^pointsman: expected a PEM certificate in .*tls\.crt and its key/m);
    expect(code).toBe(2);
  });
});
