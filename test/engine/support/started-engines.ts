import OpenAI from 'openai';
import { afterEach } from 'vitest';
import type { FakeEngine } from './fake-engine.ts';
import { startFakeEngine } from './fake-engine.ts';

/** `startFakeEngine`, with every engine closed after the test that started it. Call it once in a file. */
export function startedEngines(): typeof startFakeEngine {
  const started: FakeEngine[] = [];
  afterEach(async () => {
    for (const engine of started.splice(0)) await engine.server.close(0);
  });
  return async (...args) => {
    const engine = await startFakeEngine(...args);
    started.push(engine);
    return engine;
  };
}

/** OpenAI's own client, which tries nothing twice. */
export function openAiClient({ url }: FakeEngine): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
}
