import { createHash } from 'node:crypto';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Dealer, Subscriber } from 'zeromq';
import type { KvEvent, KvEventsConfig } from '../../../src/engine/kv-events/index.ts';
import { openKvEventPublisher, readKvEventsConfig } from '../../../src/engine/kv-events/index.ts';
import { silentLog } from '../../../src/telemetry/log.ts';
import { startFakeEngine } from '../support/fake-engine.ts';
import { readMessagePack } from './support/message-pack-reader.ts';

type Batch = [seconds: number, events: unknown[][], rank: number];
type Stored = [tag: string, hashes: (bigint | number)[], parent: bigint | number | null, tokens: number[]];

const config = (given: Record<string, unknown> = {}): KvEventsConfig =>
  readKvEventsConfig({
    enable_kv_cache_events: true,
    endpoint: 'tcp://127.0.0.1:*',
    replay_endpoint: 'tcp://127.0.0.1:*',
    ...given,
  })!;
const cleared: KvEvent = { type: 'AllBlocksCleared' };

const closing: { close(): unknown }[] = [];
const closeLater = <T extends { close(): unknown }>(closable: T): T => {
  closing.push(closable);
  return closable;
};
afterEach(async () => {
  for (const each of closing.splice(0).reverse()) await each.close();
});

function subscribe(endpoint: string, topic = ''): Subscriber {
  const socket = closeLater(new Subscriber({ receiveTimeout: 10_000 }));
  socket.connect(endpoint);
  socket.subscribe(topic);
  return socket;
}

/** Publishes until the subscription has reached the publisher, which drops everything before. */
async function untilHeard(socket: Subscriber, publish: () => void): Promise<number> {
  const first = socket.receive();
  let isHeard = false;
  void first.then(() => {
    isHeard = true;
  });
  let published = 0;
  while (!isHeard) {
    publish();
    published++;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const [, sequence] = await first;
  for (let at = Number(sequence!.readBigUInt64BE()) + 1; at < published; at++) await socket.receive();
  return published;
}

/** Asks as a vLLM client does, and reads up to the end marker. */
async function replay(endpoint: string, first: bigint): Promise<{ sequence: bigint; frames: Buffer[] }[]> {
  const socket = closeLater(new Dealer({ receiveTimeout: 10_000 }));
  socket.connect(endpoint);
  const ask = Buffer.alloc(8);
  ask.writeBigUInt64BE(first);
  await socket.send([Buffer.alloc(0), ask]);
  const batches: { sequence: bigint; frames: Buffer[] }[] = [];
  for (;;) {
    const frames = await socket.receive();
    const sequence = frames.at(-2)!.readBigUInt64BE();
    if (sequence === 0xffff_ffff_ffff_ffffn) {
      expect(frames).toHaveLength(4);
      expect(frames.at(-1)).toHaveLength(0);
      return batches;
    }
    batches.push({ sequence, frames });
  }
}

describe('the publisher', () => {
  test('sends topic, sequence and batch, numbered from 0 without a gap', async () => {
    const publisher = closeLater(await openKvEventPublisher(config({ topic: 'kv@pod@model' }), silentLog));
    const socket = subscribe(publisher.endpoint, 'kv@');
    const published = await untilHeard(socket, () => publisher.publish([cleared]));
    for (let i = 0; i < 300; i++) publisher.publish([cleared, cleared]);
    for (let i = 0; i < 300; i++) {
      const frames = await socket.receive();
      expect(frames).toHaveLength(3);
      expect(frames[0]!.toString()).toBe('kv@pod@model');
      expect(frames[1]!.readBigUInt64BE()).toBe(BigInt(published + i));
      const [seconds, events, rank] = readMessagePack(frames[2]!) as Batch;
      expect(Math.abs(seconds - Date.now() / 1000)).toBeLessThan(60);
      expect([events, rank]).toEqual([[['AllBlocksCleared'], ['AllBlocksCleared']], 0]);
    }
  });

  test('repeats from the batch that was asked for, to whoever comes later', async () => {
    const publisher = closeLater(await openKvEventPublisher(config({ topic: 't' }), silentLog));
    for (let i = 0; i < 500; i++) publisher.publish([cleared]);
    const endpoint = publisher.replayEndpoint!;
    const all = await replay(endpoint, 0n);
    expect(all.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 500 }, (_, i) => BigInt(i)));
    expect(all[0]!.frames.map(String).slice(0, 2)).toEqual(['', 't']);
    expect(await replay(endpoint, 498n)).toEqual(all.slice(498));
    expect(await replay(endpoint, 500n)).toEqual([]);
    expect(await replay(endpoint, 2n ** 64n - 1n)).toEqual([]);
  });

  test('forgets the oldest batches: a replay then begins later than asked', async () => {
    const publisher = closeLater(await openKvEventPublisher(config({ buffer_steps: 10 }), silentLog));
    for (let i = 0; i < 25; i++) publisher.publish([cleared]);
    const sequences = (await replay(publisher.replayEndpoint!, 3n)).map(({ sequence }) => sequence);
    expect(sequences).toEqual(Array.from({ length: 10 }, (_, i) => BigInt(15 + i)));
  });

  test('does not mind a request that makes no sense', async () => {
    const publisher = closeLater(await openKvEventPublisher(config(), silentLog));
    publisher.publish([cleared]);
    const socket = closeLater(new Dealer());
    socket.connect(publisher.replayEndpoint!);
    await socket.send([Buffer.alloc(0), 'soon']);
    await socket.send(['x'.repeat(100)]);
    expect(await replay(publisher.replayEndpoint!, 0n)).toHaveLength(1);
  });

  test('connects to a collector when the endpoint names one', async () => {
    const collector = closeLater(new Subscriber({ receiveTimeout: 10_000 }));
    await collector.bind('tcp://127.0.0.1:*');
    collector.subscribe();
    const given = config({ endpoint: collector.lastEndpoint!, replay_endpoint: null });
    const publisher = closeLater(await openKvEventPublisher(given, silentLog));
    expect(publisher.replayEndpoint).toBeUndefined();
    expect(await untilHeard(collector, () => publisher.publish([cleared]))).toBeGreaterThan(0);
  });

  test('says which endpoint cannot be had', async () => {
    const first = closeLater(await openKvEventPublisher(config(), silentLog));
    const taken = config({ replay_endpoint: first.endpoint });
    await expect(openKvEventPublisher(taken, silentLog)).rejects.toThrow(
      `cannot publish KV events on ${first.endpoint}`,
    );
  });
});

describe('an engine that publishes', () => {
  const seedText = 'test';
  const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest();
  const low64 = (digest: Buffer) => digest.readBigUInt64BE(24);
  const head = (major: number, n: number) =>
    n < 24
      ? Buffer.of(major | n)
      : n < 256
        ? Buffer.of(major | 24, n)
        : Buffer.of(major | 25, n >> 8, n & 255);
  /** `sha256(cbor([parent, tokens, extra]))`, by hand. */
  const blockHash = (parent: Buffer, tokens: readonly number[], extra: Buffer) =>
    sha256(
      Buffer.concat([
        Buffer.of(0x83),
        head(0x40, 32),
        parent,
        head(0x80, tokens.length),
        ...tokens.map((token) => head(0, token)),
        extra,
      ]),
    );
  const root = sha256(Buffer.concat([head(0x60, seedText.length), Buffer.from(seedText)]));
  const cborNull = Buffer.of(0xf6);

  let batches: Batch[];
  beforeAll(async () => {
    const engine = await startFakeEngine({ collectsKvEvents: true, blocks: 40 }, { kvEvents: config() });
    try {
      const prompt = Array.from({ length: 40 }, (_, i) => (i * 37) % 256);
      const body = { prompt, max_tokens: 30, temperature: 0, ignore_eos: true };
      await (await engine.post('/v1/completions', body)).json();
      await (await engine.post('/v1/completions', { ...body, cache_salt: 'blue' })).json();
      await engine.post('/reset_prefix_cache', undefined);
      const sent = await replay(engine.server.kvEvents!.replayEndpoint!, 0n);
      batches = sent.map(({ frames }) => readMessagePack(frames.at(-1)!) as Batch);
    } finally {
      await engine.server.close(0);
    }
  });

  test('tells each block once, in chains that hash as sha256_cbor', () => {
    const events = batches.flatMap(([, each]) => each);
    expect(events.at(-1)).toEqual(['AllBlocksCleared']);
    const stored = events.filter(([tag]) => tag === 'BlockStored') as unknown as Stored[];
    const isSalted = (event: readonly unknown[]) => event.length > 7;
    const saltedFrom = stored.findIndex(isSalted);
    const salt = Buffer.concat([head(0x80, 1), head(0x60, 4), Buffer.from('blue')]);
    for (const [chain, extra] of [
      [stored.slice(0, saltedFrom), cborNull],
      [stored.slice(saltedFrom), salt],
    ] as const) {
      const told = chain.flatMap(([, hashes]) => hashes.map(BigInt));
      const tokens = chain.flatMap(([, , , each]) => each);
      // 40 prompt tokens and 30 of the output; the last one is never computed: 4 full blocks of 16.
      expect(told).toHaveLength(4);
      let parent = root;
      const expected = told.map((_, i) => {
        parent = blockHash(parent, tokens.slice(16 * i, 16 * i + 16), i === 0 ? extra : cborNull);
        return low64(parent);
      });
      expect(told).toEqual(expected);
      let before: bigint | null = null;
      for (const [, hashes, parentHash] of chain) {
        expect(parentHash === null ? null : BigInt(parentHash)).toBe(before);
        before = BigInt(hashes.at(-1)!);
      }
    }
  });
});
