import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { Pointsman } from '../support/pointsman.ts';

const repository = join(import.meta.dirname, '..', '..');
const missing = [
  ['build/pointsman_native.node', 'the native engine is not built'],
  ['config/models/pointsman-mini/config.json', 'the bundled model is not there'],
].find(([path]) => !existsSync(join(repository, path!)))?.[1];

const anyPorts = [
  '--port=0',
  '--ext-proc-port=0',
  '--health-port=0',
  '--metrics-port=0',
  '--engine-port-base=0',
  '--log-format=json',
];

async function up(...args: readonly string[]) {
  const program = new Pointsman(['up', ...anyPorts, ...args]);
  const find = async (pattern: RegExp) => (await program.printed(pattern))[1]!;
  await program.printed(/Ctrl-C stops everything/);
  return {
    program,
    gateway: await find(/^ {2}gateway +(http:\S+\/v1)/m),
    metrics: await find(/^ {2}metrics +(http:\S+)/m),
    engines: (await find(/^ {2}engines +(.+)/m)).split(', '),
    model: await find(/^ {2}model +(\S+)/m),
    curl: await find(/(curl [\s\S]+?\n.+)\n/),
  };
}

/** Process ids of the children of a process, from the kernel's own list. */
function childrenOf(processId: number): number[] {
  const text = readFileSync(`/proc/${processId}/task/${processId}/children`, 'utf8');
  return text.split(' ').filter(Boolean).map(Number);
}

function isAlive(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${processId}/status`, 'utf8'));
  } catch {
    return false;
  }
}

const withProc = process.platform === 'linux';

describe('pointsman up', () => {
  it('serves a real model to the openai client, tells metrics, and leaves nothing behind', async ({
    skip,
  }) => {
    if (missing !== undefined) skip(missing);
    const { program, gateway, metrics, engines, model, curl } = await up();
    expect(engines).toHaveLength(2);
    expect(curl).toContain(`${gateway}/chat/completions`);
    const children = withProc ? childrenOf(program.child.pid!) : [];
    if (withProc) expect(children).toHaveLength(2);

    const client = new OpenAI({ baseURL: gateway, apiKey: 'none' });
    expect((await client.models.list()).data.map(({ id }) => id)).toEqual([model]);
    const stream = await client.chat.completions.create({
      model,
      messages: [{ role: 'user', content: 'What is a gateway?' }],
      max_tokens: 16,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = '';
    let usage: OpenAI.CompletionUsage | null | undefined;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      usage = chunk.usage ?? usage;
    }
    expect(text.length).toBeGreaterThan(0);
    expect(usage?.completion_tokens).toBeGreaterThan(0);

    await program.printed(/"msg":"request"/);
    const exposition = await (await fetch(metrics)).text();
    expect(exposition).toContain(`llm_d_epp_request_total{model_name="${model}"`);
    expect(exposition).toContain('llm_d_epp_ready_endpoints{name="default"} 2');

    program.child.kill('SIGINT');
    const { code } = await program.finished();
    expect(code).toBe(0);
    expect(children.filter(isAlive)).toEqual([]);
  });

  it('starts an engine again that was killed, and goes on serving meanwhile', async ({ skip }) => {
    if (missing !== undefined) skip(missing);
    if (!withProc) skip('needs /proc to find the engines');
    const { program, gateway, model } = await up();
    const [victim] = childrenOf(program.child.pid!);
    process.kill(victim!, 'SIGKILL');
    await program.printed(/engine ended unexpectedly/);
    const client = new OpenAI({ baseURL: gateway, apiKey: 'none', maxRetries: 0 });
    const answer = await client.completions.create({ model, prompt: 'A gateway', max_tokens: 4 });
    expect(answer.usage?.completion_tokens).toBeGreaterThan(0);
    await program.printed(/engine serves again/);
    expect(childrenOf(program.child.pid!)).toHaveLength(2);
  });

  it('takes its engines with it when it is killed', async ({ skip }) => {
    if (missing !== undefined) skip(missing);
    if (!withProc) skip('needs /proc to find the engines');
    const { program } = await up('--pods=1');
    const children = childrenOf(program.child.pid!);
    expect(children).toHaveLength(1);
    program.child.kill('SIGKILL');
    await expect.poll(() => children.filter(isAlive), { timeout: 10_000 }).toEqual([]);
  });
});
