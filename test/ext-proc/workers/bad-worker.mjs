/**
 * A worker that misbehaves as $BAD_WORKER says, from its first connection on, if it is the first that finds
 * $BAD_WORKER_TURN free; else one of ours.
 */
import { mkdirSync } from 'node:fs';
import { Socket } from 'node:net';

const remote = new URL('../../../dist/src/endpoint-picker/remote/', import.meta.url);

const behaviours = {
  async junk(link) {
    // Four times 0xff: a frame of 4 GiB.
    link.write(Buffer.alloc(64, 0xff));
  },

  /** Requests that do not end, and then one that would be the 131,073rd. */
  async hoard(link) {
    const picks = await pickWriter();
    link.write(picks([...Array.from({ length: 100 }, (_, at) => at), 1 << 17]));
  },

  /** Asks, and never reads what is answered. */
  async deaf(link) {
    const picks = await pickWriter({ explains: true });
    link.pause();
    for (let ticket = 0; !link.destroyed; ticket += 500) {
      await written(link, picks(Array.from({ length: 500 }, (_, at) => ticket + at)));
    }
  },
};

async function pickWriter(options = {}) {
  const { FrameWriter } = await import(new URL('frame-writer.js', remote));
  const { writePick } = await import(new URL('pick-frame.js', remote));
  const headers = new Map([[':path', '/v1/chat/completions']]);
  const prefix = { count: 0, blockTokens: 1, low: new Uint32Array(0), high: new Uint32Array(0) };
  return (tickets) => {
    const chunks = [];
    const writer = new FrameWriter(
      (bytes) => chunks.push(bytes),
      () => {},
    );
    for (const ticket of tickets) {
      const request = { id: `${ticket}`, tenant: 'bad', model: undefined, priority: 0, headers, prefix };
      writePick(
        writer,
        ticket,
        { ...request, promptTokens: 1, bodyBytes: 1, slo: {}, isStreaming: false },
        options,
      );
    }
    writer.flush();
    return Buffer.concat(chunks);
  };
}

const written = (link, bytes) =>
  new Promise((resolve) => {
    // Told when it is gone, too.
    link.write(bytes, () => setImmediate(resolve));
  });

function isFirst() {
  try {
    mkdirSync(process.env.BAD_WORKER_TURN);
    return true;
  } catch {
    return false;
  }
}

if (isFirst()) {
  process.once('message', () => {
    process.send({ kind: 'ready' });
    const report = { kind: 'report', closedConnections: 0 };
    setInterval(() => process.send(report), 250);
    const link = new Socket({ fd: 4, readable: true, writable: true });
    link.on('error', () => {});
    let isBad = false;
    process.on('message', ({ kind }) => {
      if (kind !== 'connection' || isBad) return;
      isBad = true;
      behaviours[process.env.BAD_WORKER](link);
    });
  });
} else {
  await import(new URL('../../../dist/src/ext-proc/workers/worker-main.js', import.meta.url));
}
