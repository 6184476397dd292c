import { expect } from 'vitest';
import { parseOrReadHeaders } from '../../src/endpoint-picker/inference-request.ts';
import { modelRewrites } from '../../src/endpoint-picker/model-rewrites.ts';
import type { StreamCollaborators } from '../../src/ext-proc/stream-collaborators.ts';
import type { Profile } from '../../src/scheduling/profile.ts';
import { createFleet } from '../endpoint-picker/support.ts';
import { seededRandom } from '../scheduling/support.ts';
import type { FakePicker } from './fakes.ts';
import { type Harness, type HeaderOptions, openStream, settle } from './stream-harness.ts';

/** Pods as llm-d's suite has them, and one request to them: real picker, pool, profile and stream. */

export interface Pod {
  readonly queue: number;
  readonly kv: number;
  readonly adapters?: readonly string[];
}

export interface Given {
  readonly pods: readonly Pod[];
  readonly model?: string;
  readonly body?: string;
  /** Cuts the body in two. */
  readonly cutAt?: number;
  readonly headers?: HeaderOptions;
  readonly subset?: readonly string[];
  readonly tellsScores?: boolean;
}

const rules = [{ match: 'model-to-be-rewritten', targets: [{ model: 'rewritten-model' }] }];
const objectives = new Map([
  ['sql-lora', { priority: 2 }],
  ['my-model', { priority: 2 }],
  ['direct-model', { priority: 2 }],
  ['sql-lora-sheddable', { priority: 0 }],
]);

/** Streams can be opened one after the other, to the same pods. */
export function openFleet(pods: readonly Pod[], profile?: Profile) {
  const fleet = createFleet({ endpoints: 0, ...(profile && { profile }) });
  for (const [index, { queue, kv, adapters = [] }] of pods.entries()) {
    const name = `pod${index}`;
    fleet.pool.upsert({ name, address: `192.168.1.${index + 1}:8000` });
    fleet.scrape(name, {
      queuedRequests: queue,
      kvCacheUsage: kv,
      runningAdapters: adapters,
      maxAdapters: 4,
    });
  }
  return fleet;
}

type Fleet = ReturnType<typeof openFleet>;

function open(fleet: Fleet, tellsScores: boolean): Harness {
  const parseRequest: StreamCollaborators['parseRequest'] = (http) =>
    parseOrReadHeaders(http, {
      blockTokens: 64,
      maxPrefixTokens: 1024,
      objectives,
      rewriteModel: modelRewrites(rules, seededRandom(1)),
    });
  return openStream({
    modes: { request: 'FULL_DUPLEX_STREAMED' },
    // Only what the stream uses of it.
    picker: fleet.picker as unknown as FakePicker,
    collaborators: { parseRequest, explains: true, tellsScores },
  });
}

function metadataOf(subset: readonly string[]) {
  const values = subset.map((stringValue) => ({ stringValue }));
  const fields = { 'x-gateway-destination-endpoint-subset': { listValue: { values } } };
  return { 'envoy.lb.subset_hint': { fields } };
}

export async function ask(given: Given, fleet = openFleet(given.pods)) {
  const harness = open(fleet, given.tellsScores ?? false);
  const body =
    given.body ?? JSON.stringify({ model: given.model ?? 'my-model', prompt: 'test', max_tokens: 100 });
  harness.headers({
    ...given.headers,
    headers: { ':path': '/v1/completions', ...given.headers?.headers },
    ...(given.subset === undefined ? {} : { metadata: metadataOf(given.subset) }),
  });
  if (given.headers?.endOfStream !== true) {
    const cut = given.cutAt ?? 0;
    if (cut > 0) harness.body(body.slice(0, cut));
    harness.body(body.slice(cut), true);
  }
  await settle();
  return { fleet, harness, body };
}

export function destination({ sent }: Harness): string | undefined {
  const [first] = sent;
  if (first?.kind !== 'headers') return undefined;
  const header = first.mutation?.set.find(([name]) => name === 'x-gateway-destination-endpoint')?.[1];
  expect(first.metadata?.['envoy.lb']?.['x-gateway-destination-endpoint']).toBe(header);
  return header;
}

export function bodySent({ sent }: Harness): string {
  return sent
    .map((reply) => (reply.kind === 'body' ? Buffer.from(reply.streamed!.body).toString() : ''))
    .join('');
}

export const three = [
  { queue: 3, kv: 0.2 },
  { queue: 0, kv: 0.1 },
  { queue: 10, kv: 0.2 },
];
export const all = ['192.168.1.1:8000', '192.168.1.2:8000', '192.168.1.3:8000'];
export const direct = '{"model":"direct-model","prompt":"test"}';
