import { setImmediate } from 'node:timers/promises';
import type * as ZeroMq from 'zeromq';
import type { Log } from '../../telemetry/index.ts';
import { EventEncoder } from './event-encoder.ts';
import type { KvEvent } from './kv-event.ts';
import type { KvEventsConfig } from './kv-events-config.ts';
import type { SentBatch } from './replay-buffer.ts';
import { ReplayBuffer } from './replay-buffer.ts';

export interface KvEventPublisher {
  /** Where the sockets are; the ports that were found if any were asked for. */
  readonly endpoint: string;
  readonly replayEndpoint: string | undefined;
  /** Sends one batch. Never waits: a subscriber that is too slow misses it and asks for replay. */
  publish(events: readonly KvEvent[]): void;
  close(): void;
}

/** Sequence number of the message that ends a replay. */
const endOfReplay = 0xffff_ffff_ffff_ffffn;
const empty = Buffer.alloc(0);
/** Batches that a replay sends before it lets other work go on. */
const replaySlice = 64;
const lingerMs = 200;

/**
 * Publishes KV events as vLLM does, so that routers made for it can follow this engine:
 *
 *   PUB     topic │ sequence │ batch                     sequence: 8 bytes, big-endian, from 0
 *   ROUTER  ◀ empty │ first sequence                     the batches that are still kept, each as
 *           ▶ empty │ topic │ sequence │ batch           here; then an empty one with sequence 2^64 - 1
 */
export async function openKvEventPublisher(config: KvEventsConfig, log: Log): Promise<KvEventPublisher> {
  const zeroMq = await loadZeroMq();
  const encoder = new EventEncoder(config);
  const buffer = new ReplayBuffer(config.bufferSteps);
  const topic = Buffer.from(config.topic, 'utf8');
  const publisher = new zeroMq.Publisher({ sendHighWaterMark: config.highWaterMark, linger: lingerMs });
  const router =
    config.replayEndpoint === undefined
      ? undefined
      : // A whole replay fits; a peer that asks again without reading loses messages, and may ask again.
        new zeroMq.Router({ sendHighWaterMark: config.bufferSteps + 1, linger: 0 });
  const close = () => {
    publisher.close();
    router?.close();
  };
  try {
    await attach(publisher, config.endpoint, binds(config.endpoint));
    if (router !== undefined) await attach(router, config.replayEndpoint!, true);
  } catch (error) {
    close();
    throw error;
  }
  if (router !== undefined)
    void answerReplays(router, buffer, topic).catch((error: unknown) =>
      log.error({ err: error }, 'KV event replay has stopped'),
    );

  let queued = 0;
  const send = async ({ sequence, payload }: SentBatch): Promise<void> => {
    if (queued >= config.maxQueueSize) return;
    queued++;
    try {
      await publisher.send([topic, sequenceFrame(BigInt(sequence)), payload]);
    } catch (error) {
      if (!publisher.closed) log.error({ err: error, sequence }, 'a batch of KV events was not sent');
    } finally {
      queued--;
    }
  };
  return {
    endpoint: publisher.lastEndpoint ?? config.endpoint,
    replayEndpoint: router?.lastEndpoint ?? undefined,
    publish: (events) => {
      void send(buffer.push(encoder.encode(events, Date.now())));
    },
    close,
  };
}

/** vLLM's rule: wildcards and local endpoints are bound; anything else is a collector that waits for us. */
function binds(endpoint: string): boolean {
  return /\*|::|^ipc:|^inproc:/.test(endpoint);
}

async function attach(socket: ZeroMq.Socket, endpoint: string, isBound: boolean): Promise<void> {
  if (endpoint.includes('::')) socket.ipv6 = true;
  try {
    if (isBound) await socket.bind(endpoint);
    else socket.connect(endpoint);
  } catch (error) {
    throw new Error(
      `cannot publish KV events on ${endpoint}: ${(error as Error).message}; change --kv-events-config`,
      { cause: error },
    );
  }
}

async function answerReplays(router: ZeroMq.Router, buffer: ReplayBuffer, topic: Buffer): Promise<void> {
  for await (const [identity, delimiter, first, ...rest] of router) {
    // Anything else is not for us, and a router socket has no way to say so.
    if (identity === undefined || delimiter?.length !== 0 || first?.length !== 8 || rest.length > 0) continue;
    let sent = 0;
    for (const { sequence, payload } of buffer.from(first.readBigUInt64BE())) {
      await router.send([identity, empty, topic, sequenceFrame(BigInt(sequence)), payload]);
      if (++sent % replaySlice === 0) await setImmediate();
    }
    await router.send([identity, empty, empty, sequenceFrame(endOfReplay), empty]);
  }
}

function sequenceFrame(sequence: bigint): Buffer {
  const frame = Buffer.allocUnsafe(8);
  frame.writeBigUInt64BE(sequence);
  return frame;
}

async function loadZeroMq(): Promise<typeof ZeroMq> {
  try {
    return await import('zeromq');
  } catch (error) {
    throw new Error('KV events need the package "zeromq", which is not installed: npm install zeromq', {
      cause: error,
    });
  }
}
