import { existsSync } from 'node:fs';
import { join } from 'node:path';
import OpenAI from 'openai';
import { expect, onTestFinished } from 'vitest';
import { type Bootstrap, setBodyMode } from '../../bench/envoy/bootstrap.ts';
import type { InstalledEnvoy } from '../../bench/envoy/installed-envoys.ts';
import { type RunningEnvoy, startEnvoy } from '../../bench/envoy/run-envoy.ts';
import { Pointsman } from '../support/pointsman.ts';
import { describeWithEnvoy } from '../support/with-envoy.ts';

/** Nothing is a fake here: Envoy, the picker with its pool and scrapes, and two engines with real weights. */

const repository = join(import.meta.dirname, '..', '..');
const needed = ['build/pointsman_native.node', 'config/models/pointsman-mini/config.json'];
const missing = needed.find((path) => !existsSync(join(repository, path)));

/** The whole chain; all of it ends with the test. */
async function chain(installed: InstalledEnvoy, mode: string): Promise<RunningEnvoy> {
  const ports = ['--port=0', '--ext-proc-port=0', '--health-port=0', '--metrics-port=0'];
  const program = new Pointsman(['up', ...ports, '--engine-port-base=0', '--log-format=json']);
  await program.printed(/Ctrl-C stops everything/);
  const extProcPort = Number((await program.printed(/^ {2}ext-proc +127\.0\.0\.1:(\d+)/m))[1]);
  const adjust = (bootstrap: Bootstrap) => setBodyMode(bootstrap, mode);
  const envoy = await startEnvoy({
    envoy: installed,
    config: 'standalone',
    extProcPorts: [extProcPort],
    adjust,
  });
  onTestFinished(() => envoy.close());
  return envoy;
}

for (const mode of ['FULL_DUPLEX_STREAMED', 'BUFFERED'])
  describeWithEnvoy(`two real engines, ${mode}`, (test) => {
    const name = 'answers chats, streaming and not, with the same text, and passes refusals on as JSON';
    const answers = async (installed: InstalledEnvoy) => {
      const envoy = await chain(installed, mode);
      const client = new OpenAI({ baseURL: `${envoy.url}/v1`, apiKey: 'none', maxRetries: 0 });
      const chat = {
        model: 'pointsman-mini',
        messages: [{ role: 'user' as const, content: 'What is TTFT?' }],
        temperature: 0,
      };
      const whole = await client.chat.completions.create(chat);
      const text = whole.choices[0]!.message.content!;
      expect(text).toMatch(/first token/i);
      expect(whole.usage!.completion_tokens).toBeGreaterThan(5);

      let streamed = '';
      let completionTokens = 0;
      const options = { ...chat, stream: true as const, stream_options: { include_usage: true } };
      for await (const chunk of await client.chat.completions.create(options)) {
        streamed += chunk.choices[0]?.delta.content ?? '';
        completionTokens = chunk.usage?.completion_tokens ?? completionTokens;
      }
      expect(streamed).toBe(text);
      expect(completionTokens).toBe(whole.usage!.completion_tokens);

      const post = (body: object) =>
        fetch(`${envoy.url}/v1/completions`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(body),
        });
      const unknown = await post({ model: 'nonsense', prompt: 'x' });
      expect(unknown.status).toBe(404);
      expect(await unknown.text()).toContain('pointsman-mini');
      const hot = await post({ model: 'pointsman-mini', prompt: 'x', temperature: -1 });
      expect(hot.status).toBe(400);
      expect(await hot.json()).toMatchObject({ error: { param: 'temperature' } });
    };
    test(name, answers, () => missing && `${missing} is not there`);
  });
