import { describe, expect, it } from 'vitest';
import type { Answer, ClientRequest } from '../support/door-client.ts';
import { startFakeEngine } from '../support/fake-engine.ts';
import { type HeldAnswers, holdAnswers } from '../support/held-answers.ts';
import { doors, type ServiceFixture, startService } from '../support/service-fixture.ts';
import { until } from '../support/until.ts';

/** Room for one request that has not produced its first token. */
const oneAtATime = ['roomMs: 0.001'];

function configuration(flowControl: readonly string[] = oneAtATime): string {
  return [
    'pool: { scrape: { intervalMs: 20, timeoutMs: 500 } }',
    'profile: { strategy: shadow-price }',
    'objectives: { interactive: 10, batch: -10 }',
    'flowControl:',
    ...['enabled: true', ...flowControl].map((line) => `  ${line}`),
    '',
  ].join('\n');
}

interface Request {
  readonly name?: string;
  readonly objective?: string;
  readonly tenant?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Words of the prompt. */
  readonly length?: number;
}

function requestOf({ name = 'one', objective, tenant, headers, signal, length = 1 }: Request): ClientRequest {
  const content = `${name}|${'word '.repeat(length)}`;
  return {
    body: JSON.stringify({ model: 'fake-model', stream: true, messages: [{ role: 'user', content }] }),
    headers: {
      ...(objective === undefined ? {} : { 'x-llm-d-inference-objective': objective }),
      ...(tenant === undefined ? {} : { 'x-llm-d-inference-fairness-id': tenant }),
      ...headers,
    },
    ...(signal === undefined ? {} : { signal }),
  };
}

/** Code, dropped reason and seconds of a refusal. */
function refusal({ status, headers, text }: Answer) {
  const { error } = JSON.parse(text) as { error: { code: string; type: string } };
  const { 'x-llm-d-request-dropped-reason': reason, 'retry-after': retryAfter } = headers;
  return { status, code: error.code, reason, retryAfter: Number(retryAfter) };
}

describe.each(doors)('flow control through %s', (door) => {
  interface House extends ServiceFixture {
    /** What each engine holds. */
    readonly held: readonly HeldAnswers[];
    /** Sends, and resolves once it waits in line. */
    wait(request: Request): Promise<{ readonly answer: Promise<Answer> }>;
    /** Sends, and resolves once an engine holds it. */
    fill(request?: Request): Promise<{ readonly answer: Promise<Answer> }>;
    /** Names of the requests in the order in which engines got them. */
    order(): string[];
  }

  async function start({
    engines = 1,
    flowControl = oneAtATime,
  }: {
    readonly engines?: number;
    readonly flowControl?: readonly string[];
  } = {}): Promise<House> {
    const held = Array.from({ length: engines }, () => holdAnswers());
    const fixture = await startService({
      door,
      yaml: configuration(flowControl),
      engines: held.map(({ behaviour }) => ({ behaviour })),
    });
    const { service, send } = fixture;
    const sendQuietly = (request: Request) => {
      const answer = send(requestOf(request));
      answer.catch(() => {});
      return answer;
    };
    return {
      ...fixture,
      held,
      wait: async (request) => {
        const before = service.picker.waitingRequests;
        const answer = sendQuietly(request);
        await until(() => service.picker.waitingRequests > before);
        return { answer };
      },
      fill: async (request = { name: 'first' }) => {
        const count = () => held.reduce((sum, each) => sum + each.count, 0);
        const before = count();
        const answer = sendQuietly(request);
        await until(() => count() > before);
        return { answer };
      },
      order: () =>
        fixture.engines.flatMap(({ requests }) =>
          requests.map(({ body }) => /"content":"([^|]*)\|/.exec(body.toString())![1]!),
        ),
    };
  }

  it('holds a request until an engine has room, and then serves it as if nothing had been', async () => {
    const { service, fill, wait, held, engine } = await start();
    const first = await fill();
    const second = await wait({ name: 'second' });
    expect(engine.requests).toHaveLength(1);
    held[0]!.open();
    expect((await first.answer).status).toBe(200);
    const { status, text } = await second.answer;
    expect([status, text.includes('token-3'), text.includes('[DONE]')]).toEqual([200, true, true]);
    const [record] = service.picker.recent();
    expect(record!.queuedMs).toBeGreaterThan(0);
  });

  it('sends higher priorities first', async () => {
    const { fill, wait, held, order } = await start();
    const answers = [await fill()];
    for (const objective of ['batch', 'usual', 'interactive'])
      answers.push(await wait({ name: objective, objective }));
    held[0]!.open();
    for (const { answer } of answers) expect((await answer).status).toBe(200);
    expect(order()).toEqual(['first', 'interactive', 'usual', 'batch']);
  });

  it('gives tenants turns, however many requests one of them sends', async () => {
    const { fill, wait, held, order } = await start();
    const answers = [await fill()];
    for (let i = 0; i < 6; i++) answers.push(await wait({ name: 'flood', tenant: 'flood' }));
    for (let i = 0; i < 2; i++) answers.push(await wait({ name: 'quiet', tenant: 'quiet' }));
    held[0]!.open();
    for (const { answer } of answers) expect((await answer).status).toBe(200);
    const [, ...turns] = order();
    // With equal prompts the two of the quiet tenant are among the first four.
    expect(turns.slice(0, 4).filter((name) => name === 'quiet')).toHaveLength(2);
  });

  it('refuses what has waited too long, by its priority, and says when to come again', async () => {
    const { service, fill, wait, send, held, engine } = await start({
      flowControl: [...oneAtATime, 'ttlMs: 60000', 'ttlMsByPriority: { -10: 40 }'],
    });
    const first = await fill();
    const { answer } = await wait({ name: 'usual' });
    const told = refusal(await send(requestOf({ objective: 'batch' })));
    expect(told).toMatchObject({ status: 429, code: 'queue_timeout', reason: 'rejected-ttl-expired' });
    expect(told.retryAfter).toBeGreaterThanOrEqual(1);
    expect([service.picker.waitingRequests, engine.requests.length]).toEqual([1, 1]);
    held[0]!.open();
    expect([(await first.answer).status, (await answer).status]).toEqual([200, 200]);
  });

  it('refuses what the line has no place for, by number and by bytes', async () => {
    const { fill, wait, send, held } = await start({
      flowControl: [...oneAtATime, 'maxQueuedRequests: 2', 'maxQueuedBytes: 20000'],
    });
    const answers = [await fill(), await wait({ tenant: 'a', length: 10 })];
    const long = refusal(await send(requestOf({ tenant: 'b', length: 6000 })));
    expect(long).toMatchObject({ status: 429, code: 'overloaded', reason: 'rejected-saturated' });
    answers.push(await wait({ tenant: 'a', length: 10 }));
    const third = refusal(await send(requestOf({ tenant: 'a', length: 10 })));
    expect(third).toMatchObject({ status: 429, code: 'overloaded', reason: 'rejected-saturated' });
    expect(third.retryAfter).toBeGreaterThanOrEqual(1);
    held[0]!.open();
    for (const { answer } of answers) expect((await answer).status).toBe(200);
  });

  it('makes place for a higher priority by refusing the newest of the lowest', async () => {
    const { fill, wait, send, held, order, service } = await start({
      flowControl: [...oneAtATime, 'maxQueuedRequests: 2'],
    });
    const first = await fill();
    const older = await wait({ name: 'older', objective: 'batch' });
    const newer = await wait({ name: 'newer', objective: 'batch' });
    const urgent = send(requestOf({ name: 'urgent', objective: 'interactive' }));
    expect(refusal(await newer.answer)).toMatchObject({ status: 429, reason: 'rejected-saturated' });
    expect(service.picker.waitingRequests).toBe(2);
    held[0]!.open();
    for (const answer of [first.answer, older.answer, urgent]) expect((await answer).status).toBe(200);
    expect(order()).toEqual(['first', 'urgent', 'older']);
  });

  it('refuses at once what would miss its target by waiting', async () => {
    const { fill, wait, send, held, engine } = await start();
    const answers = [await fill()];
    // 2,000 words of five bytes are 2,500 tokens, and 0.04 ms each until learned: 100 ms.
    for (let i = 0; i < 2; i++) answers.push(await wait({ tenant: `t${i}`, length: 2000 }));
    const slo = { 'x-llm-d-slo-ttft-ms': '20' };
    const told = refusal(await send(requestOf({ tenant: 'strict', length: 4000, headers: slo })));
    expect(told).toMatchObject({ status: 429, code: 'overloaded', reason: 'rejected-saturated' });
    expect(told.retryAfter).toBeGreaterThanOrEqual(1);
    const lax = { 'x-llm-d-slo-ttft-ms': '60000' };
    answers.push(await wait({ tenant: 'lax', length: 4000, headers: lax }));
    held[0]!.open();
    for (const { answer } of answers) expect((await answer).status).toBe(200);
    expect(engine.requests).toHaveLength(4);
  });

  it('forgets a request at once when its client goes', async () => {
    const { service, fill, wait, held, engine } = await start();
    const first = await fill();
    const client = new AbortController();
    const { answer } = await wait({ name: 'gone', signal: client.signal });
    const other = await wait({ name: 'other' });
    client.abort();
    await until(() => service.picker.waitingRequests === 1);
    expect(service.picker.openAssignments).toBe(1);
    service.picker.checkIntegrity();
    await expect(answer).rejects.toThrow();
    held[0]!.open();
    expect([(await first.answer).status, (await other.answer).status]).toEqual([200, 200]);
    expect(engine.requests).toHaveLength(2);
  });

  it('refuses all that wait when it is told to stop, and finishes what is being served', async () => {
    const { service, fill, wait, held } = await start();
    const first = await fill();
    const waiting = [await wait({ tenant: 'a' }), await wait({ tenant: 'b' })];
    service.shutDown();
    for (const { answer } of waiting) {
      expect(refusal(await answer)).toEqual({
        status: 503,
        code: 'shutting_down',
        reason: 'rejected-shutting-down',
        retryAfter: 5,
      });
    }
    held[0]!.open();
    expect((await first.answer).status).toBe(200);
  });

  it('takes new limits and a new profile while requests wait', async () => {
    const { fill, wait, send, reload, held } = await start();
    const answers = [await fill(), await wait({ name: 'second' })];
    await reload(configuration([...oneAtATime, 'maxQueuedRequests: 1', 'ttlMs: 30']));
    expect(refusal(await send(requestOf({})))).toMatchObject({ reason: 'rejected-saturated' });
    // With more room the one that waits is sent, and the limits above are gone again.
    await reload(configuration(['roomMs: 10000']));
    await until(() => held[0]!.count === 2);
    held[0]!.open();
    for (const { answer } of answers) expect((await answer).status).toBe(200);
  });

  it('sends those that wait elsewhere when the engine that they wait for dies', async () => {
    const { fill, wait, held, engines } = await start({ engines: 2 });
    const answers = [await fill({ name: 'a' }), await fill({ name: 'b' })];
    expect(held.map(({ count }) => count)).toEqual([1, 1]);
    const waiting = [await wait({ name: 'c' }), await wait({ name: 'd' })];
    await engines[1]!.close();
    held[0]!.open();
    for (const { answer } of waiting) expect((await answer).status).toBe(200);
    for (const { answer } of answers) await answer;
  });

  it('keeps a request while no engine is left, and sends it to one that comes back', async () => {
    const { fill, wait, engine, service } = await start();
    const first = await fill();
    const second = await wait({ name: 'second' });
    await engine.close();
    await first.answer;
    await until(() => !service.picker.isReady());
    expect(service.picker.waitingRequests).toBe(1);
    const restarted = await startFakeEngine({ port: engine.port });
    expect((await second.answer).status).toBe(200);
    await restarted.close();
  });

  it('tells a request that there are no engines: at once, or when it has waited for one in vain', async () => {
    const { fill, wait, send, engine, service } = await start({
      flowControl: [...oneAtATime, 'ttlMs: 400'],
    });
    const first = await fill();
    const second = await wait({ name: 'second' });
    await engine.close();
    await first.answer;
    await until(() => !service.picker.isReady());
    const none = { status: 503, code: 'no_endpoints', reason: 'rejected-no-endpoints' };
    expect(refusal(await send(requestOf({})))).toMatchObject(none);
    expect(refusal(await second.answer)).toMatchObject(none);
  });
});
