import { expect, it } from 'vitest';
import { fakeEndpointPicker } from '../support/fake-endpoint-picker.ts';
import type { FakePicker } from './fakes.ts';
import { chatBody, openStream, settle } from './stream-harness.ts';

/** The headers that the reply to the response's head sets and removes. */
async function answered(explains: boolean, asked: string, engineHeaders: Record<string, string> = {}) {
  const picker = fakeEndpointPicker([{ name: 'pod-0', address: '10.0.0.1:8000' }]);
  const harness = openStream({
    modes: { request: 'FULL_DUPLEX_STREAMED' },
    picker: picker as unknown as FakePicker,
    collaborators: { explains },
  });
  harness.headers({ headers: { 'x-pointsman-explain': asked } });
  harness.body(chatBody, true);
  await settle();
  harness.responseHeaders({ headers: engineHeaders });
  const reply = harness.sent.at(-1);
  if (reply?.kind !== 'headers') throw new Error('expected the reply to headers');
  return { set: Object.fromEntries(reply.mutation?.set ?? []), remove: reply.mutation?.remove ?? [] };
}

it('tells the decision in the response headers when it is asked to and allowed to', async () => {
  const { set } = await answered(true, 'true', { 'x-pointsman-decision': 'forged' });
  expect(set['x-pointsman-endpoint']).toBe('pod-0');
  expect(JSON.parse(set['x-pointsman-decision']!)).toMatchObject({ endpoint: 'pod-0', profile: 'default' });
});

it.each([
  [false, 'true'],
  [true, 'false'],
  [true, ''],
])('tells nothing when allowed: %s, asked: "%s"', async (explains, asked) => {
  expect(await answered(explains, asked)).toEqual({ set: {}, remove: [] });
});

it('lets no engine tell a decision of its own', async () => {
  const { set, remove } = await answered(false, 'true', { 'x-pointsman-decision': 'forged' });
  expect([set, remove]).toEqual([{}, ['x-pointsman-decision']]);
});
