import { afterEach, describe, expect, test } from 'vitest';
import { fakeAdapters } from '../support/fake-core.ts';
import type { Answer, FakeEngine } from '../support/fake-engine.ts';
import { letters, startFakeEngine } from '../support/fake-engine.ts';

const started: FakeEngine[] = [];
async function start(isOn = true): Promise<FakeEngine> {
  const engine = await startFakeEngine(isOn ? { lora: fakeAdapters(2) } : {});
  started.push(engine);
  return engine;
}
afterEach(async () => {
  for (const engine of started.splice(0)) await engine.server.close(0);
});

const load = (engine: FakeEngine, lora_name: string, lora_path: string) =>
  engine.post('/v1/load_lora_adapter', { lora_name, lora_path });
const complete = async (engine: FakeEngine, model: string) => {
  const response = await engine.post('/v1/completions', {
    model,
    prompt: 'hello, adapters',
    temperature: 0,
    allowed_token_ids: letters,
  });
  return (await response.json()) as Answer;
};

describe('LoRA adapters over HTTP', () => {
  test('load, answer under their name, are listed with their parent, and unload', async () => {
    const engine = await start();
    const base = await complete(engine, 'fake');
    const loaded = await load(engine, 'sql', '7');
    expect([loaded.status, await loaded.text()]).toEqual([
      200,
      "Success: LoRA adapter 'sql' added successfully.",
    ]);
    const models = (await (await engine.get('/v1/models')).json()) as Answer;
    expect(models.data.at(-1)).toMatchObject({ id: 'sql', root: '7', parent: 'fake', object: 'model' });
    expect(models.data[0]).toMatchObject({ id: 'fake', parent: null });
    const adapted = await complete(engine, 'sql');
    expect(adapted.model).toBe('sql');
    expect(adapted.choices[0]!.text).not.toBe(base.choices[0]!.text);
    expect((await complete(engine, 'fake')).choices[0]!.text).toBe(base.choices[0]!.text);

    const chat = { model: 'sql', messages: [{ role: 'user', content: 'hi' }], max_tokens: 4 };
    expect(((await (await engine.post('/v1/chat/completions', chat)).json()) as Answer).model).toBe('sql');
    const unloaded = await engine.post('/v1/unload_lora_adapter', { lora_name: 'sql' });
    expect(await unloaded.text()).toBe("Success: LoRA adapter 'sql' removed successfully.");
    expect((await engine.post('/v1/completions', { model: 'sql', prompt: 'x' })).status).toBe(404);
  });

  test('refuse taken names, bad folders, unknown adapters and missing fields', async () => {
    const engine = await start();
    await load(engine, 'sql', '7');
    for (const [name, path, message] of [
      ['sql', '8', /already been loaded/],
      ['alias', '8', /or is the model itself/],
      ['other', 'nowhere', /nowhere holds no adapter/],
      ['', '8', /lora_name is required/],
      ['other', '', /lora_path is required/],
    ] as const) {
      const refused = await load(engine, name, path);
      expect(refused.status).toBe(400);
      expect(await refused.text()).toMatch(message);
    }
    const unknown = await engine.post('/v1/unload_lora_adapter', { lora_name: 'other' });
    expect([unknown.status, await unknown.text()]).toEqual([
      404,
      expect.stringMatching(/'other' cannot be found/),
    ]);
    await load(engine, 'second', '2');
    expect(await (await load(engine, 'third', '3')).text()).toMatch(/all 2 places for adapters are taken/);
  });

  test('can be replaced in place', async () => {
    const engine = await start();
    await load(engine, 'sql', '7');
    const before = await complete(engine, 'sql');
    const replaced = await engine.post('/v1/load_lora_adapter', {
      lora_name: 'sql',
      lora_path: '9',
      load_inplace: true,
    });
    expect(replaced.status).toBe(200);
    expect((await complete(engine, 'sql')).choices[0]!.text).not.toBe(before.choices[0]!.text);
  });

  test('stay as they are when what should replace them cannot be loaded', async () => {
    const engine = await start();
    await load(engine, 'sql', '7');
    const before = await complete(engine, 'sql');
    const body = { lora_name: 'sql', lora_path: 'nowhere', load_inplace: true };
    const refused = await engine.post('/v1/load_lora_adapter', body);
    expect([refused.status, await refused.text()]).toEqual([400, expect.stringMatching(/holds no adapter/)]);
    expect((await complete(engine, 'sql')).choices[0]!.text).toBe(before.choices[0]!.text);
  });

  test('are in the metrics by vLLM’s labels, the time as value', async () => {
    const engine = await start();
    const series = async () =>
      /^vllm:lora_requests_info\{(.*)\} (.*)$/m.exec(await (await engine.get('/metrics')).text());
    const [, labels, value] = (await series())!;
    expect(labels).toBe('max_lora="2",waiting_lora_adapters="",running_lora_adapters=""');
    expect(Number(value)).toBeGreaterThan(1.6e9);
  });

  test('without --enable-lora there are no such routes', async () => {
    const engine = await start(false);
    const refused = await load(engine, 'sql', '7');
    expect([refused.status, await refused.text()]).toEqual([
      404,
      expect.stringMatching(/without --enable-lora/),
    ]);
    expect(await (await engine.get('/metrics')).text()).not.toMatch(/lora_requests_info/);
  });
});
