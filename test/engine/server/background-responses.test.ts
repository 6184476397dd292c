import type OpenAI from 'openai';
import { expect, test } from 'vitest';
import type { StepInputs } from '../../../src/engine/native/native.ts';
import { until } from '../../support/until.ts';

import { ScriptedModel } from '../support/scripted-model.ts';
import { openAiClient, startedEngines } from '../support/started-engines.ts';

const start = startedEngines();

/** Writes its text, and goes on without end where that is over. */
class EndlessModel extends ScriptedModel {
  protected override chosen(batch: StepInputs, sample: number): number {
    const chosen = super.chosen(batch, sample);
    return chosen < 32 ? 97 : chosen;
  }
}

async function engineOf(model: ScriptedModel, maxModelLen = 512) {
  const engine = await start({ model, maxModelLen }, { storesResponses: true });
  return {
    engine,
    client: openAiClient(engine),
  };
}

const request = { model: 'fake', input: 'Hi', background: true };
const isOver = ({ status }: OpenAI.Responses.Response) => status !== 'queued' && status !== 'in_progress';

/** Polls until the response is over. */
async function overOf(client: OpenAI, id: string) {
  let response = await client.responses.retrieve(id);
  await until(async () => {
    response = await client.responses.retrieve(id);
    return isOver(response);
  });
  return response;
}

test('an answer in the background is queued, polled and gone on from', async () => {
  const { client } = await engineOf(new ScriptedModel('Yes.'));
  const queued = await client.responses.create(request);
  expect(queued).toMatchObject({ background: true, status: 'queued', store: true, output: [] });
  const response = await overOf(client, queued.id);
  expect(response).toMatchObject({
    id: queued.id,
    background: true,
    status: 'completed',
    output_text: 'Yes.',
  });
  expect(response.usage).toMatchObject({ output_tokens: 5 });
  const next = client.responses.create({ model: 'fake', input: 'And?', previous_response_id: queued.id });
  expect((await next).previous_response_id).toBe(queued.id);
  await expect(client.responses.cancel(queued.id)).rejects.toMatchObject({ status: 400 });
});

test('an answer in the background is cancelled, with what has been written', async () => {
  const { client, engine } = await engineOf(new EndlessModel('abc'), 2048);
  const { id } = await client.responses.create({ ...request, max_output_tokens: 1500 });
  const early = client.responses.create({ model: 'fake', input: 'x', previous_response_id: id });
  await expect(early).rejects.toMatchObject({ status: 400, param: 'previous_response_id' });
  await until(async () => (await client.responses.retrieve(id)).status === 'in_progress');
  expect(await client.responses.cancel(id)).toMatchObject({ id, status: 'cancelled' });
  await until(() => engine.core.gauges.running === 0);
  const kept = await client.responses.retrieve(id);
  expect(kept).toMatchObject({ status: 'cancelled', output: [{ status: 'incomplete' }] });
  expect(kept.output_text).toMatch(/^abca*$/);
  engine.core.checkIntegrity();
});

test('a stream in the background goes on without its reader, who comes back to where it was', async () => {
  const { client } = await engineOf(new ScriptedModel('Yes, it does.'));
  const stream = await client.responses.create({ ...request, stream: true });
  let id = '';
  let seen = -1;
  for await (const event of stream) {
    if (event.type === 'response.created') id = event.response.id;
    seen = event.sequence_number;
    if (event.type === 'response.output_text.delta') break;
  }
  const rest = await client.responses.retrieve(id, { stream: true, starting_after: seen });
  const events: OpenAI.Responses.ResponseStreamEvent[] = [];
  for await (const event of rest) events.push(event);
  expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_, i) => seen + 1 + i));
  expect(events.at(-1)).toMatchObject({ type: 'response.completed', response: { status: 'completed' } });
  const again = await client.responses.retrieve(id, { stream: true });
  const all: OpenAI.Responses.ResponseStreamEvent[] = [];
  for await (const event of again) all.push(event);
  expect(all).toHaveLength(seen + 1 + events.length);
  expect(all.slice(seen + 1)).toEqual(events);
  expect(all[0]).toMatchObject({ type: 'response.created', response: { status: 'queued' } });
});

test('one that is deleted meanwhile is gone, and one that only polls has no events', async () => {
  const { client, engine } = await engineOf(new EndlessModel(''), 2048);
  const { id } = await client.responses.create({ ...request, max_output_tokens: 1500 });
  await expect(client.responses.retrieve(id, { stream: true })).rejects.toMatchObject({ status: 400 });
  await client.responses.delete(id);
  await until(() => engine.core.gauges.running === 0);
  await expect(client.responses.retrieve(id)).rejects.toMatchObject({ status: 404 });
});

test('a failing engine is told by the response', async () => {
  class BrokenModel extends ScriptedModel {
    protected override chosen(): number {
      throw new Error('the device is broken');
    }
  }
  const { client } = await engineOf(new BrokenModel(''));
  const { id } = await client.responses.create(request);
  const response = await overOf(client, id);
  expect(response).toMatchObject({ status: 'failed', error: { code: 'server_error' }, output: [] });
});

test('a server that closes lets what is in the background end, up to its deadline', async () => {
  const { client, engine } = await engineOf(new ScriptedModel('Yes.'));
  await client.responses.create(request);
  await engine.server.close();
  expect(engine.server.engine.liveRequests).toBe(0);
  const endless = await engineOf(new EndlessModel(''), 2048);
  await endless.client.responses.create({ ...request, max_output_tokens: 1500 });
  await endless.engine.server.close(0);
  expect(endless.engine.server.engine.liveRequests).toBe(0);
});
