import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type * as Client from '../../src/engine/engine-client.ts';
import type * as Transport from '../../src/engine/engine-transport.ts';
import type * as Engine from '../../src/engine/index.ts';
import { openEngine } from '../../src/engine/open-engine.ts';
import { toOpenOptions } from '../../src/engine/to-open-options.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { engineRequest, runToEnd } from './support/fake-core.ts';

/** The worker's entry is JavaScript, so these tests use the built files. */
const inRepository = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const isBuilt =
  existsSync(inRepository('dist/src/engine/engine-worker.js')) &&
  existsSync(inRepository('build/pointsman_native.node'));
beforeEach(({ skip }) => skip(!isBuilt, 'the engine is not built; run npm run build'));
const built = <T>(file: string) => import(inRepository(`dist/src/engine/${file}.js`)) as Promise<T>;

const model = inRepository('config/models/pointsman-mini');
const small = { model, numGpuBlocksOverride: 64, maxModelLen: 512, threads: 1 };
const scratch = mkdtempSync(join(tmpdir(), 'pointsman-engine-'));
afterAll(() => rmSync(scratch, { recursive: true }));

describe('the engine in its own thread', () => {
  test('answers over HTTP with what the core says on this thread', async () => {
    const { serveEngine } = await built<typeof Engine>('index');
    const server = await serveEngine({ ...small, port: 0, servedModelName: ['mini'], log: silentLog });
    try {
      const response = await fetch(`http://${server.address}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ prompt: [5, 6, 7, 8], temperature: 0, max_tokens: 20, logprobs: 0 }),
      });
      const answer = (await response.json()) as { choices: { logprobs: { token_logprobs: number[] } }[] };
      const { core } = openEngine(toOpenOptions(small, []));
      core.add(engineRequest({ id: 1, prompt: [5, 6, 7, 8], maxTokens: 20, logprobs: 0 }));
      const expected = runToEnd(core).map(({ logprobs }) => logprobs?.logprob);
      core.close();
      expect(answer.choices[0]?.logprobs.token_logprobs).toEqual(expected);
    } finally {
      await server.close(1000);
    }
  });

  test('takes sampling defaults from the override, and another tokenizer', async () => {
    const { serveEngine } = await built<typeof Engine>('index');
    const tokenizer = join(scratch, 'tokenizer');
    cpSync(model, tokenizer, { recursive: true, filter: (path) => !path.endsWith('.safetensors') });
    const file = join(tokenizer, 'tokenizer_config.json');
    const chat_template = 'nothing but this';
    writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), chat_template }));
    const server = await serveEngine({
      ...small,
      port: 0,
      tokenizer,
      overrideGenerationConfig: { temperature: 0, max_new_tokens: 3 },
      log: silentLog,
    });
    const post = async (path: string, body: object) => {
      const headers = { 'content-type': 'application/json' };
      const url = `http://${server.address}${path}`;
      return (await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })).json();
    };
    try {
      const prompt = [5, 6, 7, 8];
      const unasked = (await post('/v1/completions', { prompt })) as Answer;
      expect(unasked.usage.completion_tokens).toBe(3);
      const greedy = (await post('/v1/completions', { prompt, temperature: 0, max_tokens: 3 })) as Answer;
      expect(unasked.choices[0]?.text).toBe(greedy.choices[0]?.text);
      const messages = [{ role: 'user', content: 'x'.repeat(99) }];
      const counted = (await post('/tokenize', { messages })) as { count: number };
      const alone = (await post('/tokenize', {
        prompt: chat_template,
        add_special_tokens: false,
      })) as typeof counted;
      expect(counted.count).toBe(alone.count);
    } finally {
      await server.close(1000);
    }
  });

  test('refuses an override that it does not know', async () => {
    const { serveEngine } = await built<typeof Engine>('index');
    const overrideGenerationConfig = { temprature: 0, top_k: 'x', temperature: -1, top_p: 0 };
    const wrong = { ...small, port: 0, overrideGenerationConfig, log: silentLog };
    await expect(serveEngine(wrong)).rejects.toThrow(
      /temprature is not known; top_k must be a number, got "x"; temperature must be at least 0, got -1; top_p must be above 0 and at most 1, got 0; it takes temperature, /,
    );
  });

  test('sleeps and wakes with its real weights', async () => {
    const { serveEngine } = await built<typeof Engine>('index');
    const options = { ...small, port: 0, enableSleepMode: true, log: silentLog };
    const server = await serveEngine(options);
    const url = `http://${server.address}`;
    const ask = async () => {
      const body = JSON.stringify({ prompt: [5, 6, 7, 8], temperature: 0, max_tokens: 20 });
      const headers = { 'content-type': 'application/json' };
      const response = await fetch(`${url}/v1/completions`, { method: 'POST', headers, body });
      return [
        response.status,
        ((await response.json()) as { choices?: { text: string }[] }).choices?.[0]?.text,
      ];
    };
    try {
      const awake = await ask();
      expect(awake[0]).toBe(200);
      expect((await fetch(`${url}/sleep`, { method: 'POST' })).status).toBe(200);
      expect((await ask())[0]).toBe(503);
      expect((await fetch(`${url}/wake_up`, { method: 'POST' })).status).toBe(200);
      expect(await ask()).toEqual(awake);
    } finally {
      await server.close(1000);
    }
  });

  test('reports a crash once, and is dead afterwards', async () => {
    const { EngineClient } = await built<typeof Client>('engine-client');
    const { createWorkerTransport } = await built<typeof Transport>('engine-transport');
    const transport = createWorkerTransport(toOpenOptions(small, []));
    const crashes: Error[] = [];
    const engine = await EngineClient.open({ transport, onCrash: (error) => crashes.push(error) });
    expect(engine.info).toMatchObject({ blocks: 64, maxModelLen: 512 });
    const generation = engine.generate(
      engineRequest({ id: 0, prompt: [5], maxTokens: 500, ignoreEos: true }),
    );
    // A command that no client sends: the loop has no case for it and fails.
    transport.send({ type: 'add', request: undefined } as unknown as Parameters<typeof transport.send>[0]);
    await expect(async () => {
      for await (const _ of generation);
    }).rejects.toThrow(/engine has stopped/);
    await vi.waitFor(() => expect(engine.isAlive).toBe(false));
    expect(crashes).toHaveLength(1);
  });

  test.each([
    ['a folder that does not exist', () => join(scratch, 'nowhere'), /must be a folder .* does not exist/],
    ['a file', () => join(model, 'config.json'), /is a file/],
    ['a truncated checkpoint', () => truncatedModel(), /model\.safetensors/],
  ])('refuses %s with one message', async (_, folder, message) => {
    const { serveEngine } = await built<typeof Engine>('index');
    await expect(serveEngine({ ...small, model: folder(), port: 0, log: silentLog })).rejects.toThrow(
      message,
    );
  });

  test('refuses a context length that the KV cache cannot hold', async () => {
    const { serveEngine } = await built<typeof Engine>('index');
    const tooLong = { ...small, numGpuBlocksOverride: 4, port: 0, log: silentLog };
    await expect(serveEngine(tooLong)).rejects.toThrow(/room for 64 tokens/);
  });
});

interface Answer {
  readonly choices: readonly { readonly text: string }[];
  readonly usage: { readonly completion_tokens: number };
}

function truncatedModel(): string {
  const folder = join(scratch, 'truncated');
  cpSync(model, folder, { recursive: true });
  truncateSync(join(folder, 'model.safetensors'), 100_000);
  return folder;
}
