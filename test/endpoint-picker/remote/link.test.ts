import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Placement, RequestPlacer } from '../../../src/endpoint-picker/assignment.ts';
import { mostOpenRequests } from '../../../src/endpoint-picker/remote/frame-kinds.ts';
import { FrameSplitter } from '../../../src/endpoint-picker/remote/frame-splitter.ts';
import { FrameWriter } from '../../../src/endpoint-picker/remote/frame-writer.ts';
import { appendHeaders, ListedHeaders } from '../../../src/endpoint-picker/remote/listed-headers.ts';
import { writePick } from '../../../src/endpoint-picker/remote/pick-frame.ts';
import { RemotePlacer } from '../../../src/endpoint-picker/remote/remote-placer.ts';
import { defaultRoomRule } from '../../../src/endpoint-picker/room-rule.ts';
import { defaultLimits } from '../../../src/flow-control/index.ts';
import { ServiceError } from '../../../src/protocol/errors.ts';
import { emptyPrefix, type InferenceRequest } from '../../../src/scheduling/inference-request.ts';
import { fakePicker } from '../../ext-proc/fakes.ts';
import { makeRequest } from '../../scheduling/support.ts';
import { fakeEndpointPicker } from '../../support/fake-endpoint-picker.ts';
import { createFleet, promptOf } from '../support.ts';
import { linkTo } from './linked.ts';

interface Submitted {
  placement?: Placement;
  error?: unknown;
}

function submit(placer: RequestPlacer, request: Partial<InferenceRequest> = {}, options = {}): Submitted {
  const submitted: Submitted = {};
  placer.submit(makeRequest(request), options, {
    placed: (placement) => {
      submitted.placement = placement;
    },
    refused: (error) => {
      submitted.error = error;
    },
  });
  return submitted;
}

const fullAfterOne = {
  limits: () => defaultLimits,
  room: () => ({ ...defaultRoomRule, roomMs: 1e-9 }),
  schedule: () => () => {},
};

const headBytes = 5;

/** As a door writes it. */
function pickFrame(ticket: number, request: Partial<InferenceRequest> = {}): Buffer {
  const written: Buffer[] = [];
  const writer = new FrameWriter(
    (bytes) => written.push(bytes),
    () => {},
  );
  writePick(writer, ticket, makeRequest(request), {});
  writer.flush();
  return Buffer.concat(written);
}

async function write(link: ReturnType<typeof linkTo>, frame: Buffer): Promise<void> {
  const { writer } = link.doorLink;
  const payload = frame.subarray(headBytes);
  writer.begin(frame[headBytes - 1]!, payload.length);
  writer.bytes(payload);
  writer.end();
  await link.settled();
}

describe('a link between a door and the picker', () => {
  it('ends what a lost door had open, placed or waiting, so that no load stays', async () => {
    const fleet = createFleet({ endpoints: 2, flowControl: fullAfterOne });
    const link = linkTo(fleet.picker);
    for (let i = 0; i < 5; i++) submit(link.placer, promptOf(`${i}`.repeat(9000)));
    await link.settled();
    expect([fleet.picker.openAssignments, fleet.picker.waitingRequests]).toEqual([2, 3]);
    link.doorLink.destroy();
    await link.settled();
    expect([fleet.picker.openAssignments, fleet.picker.waitingRequests, link.host.openRequests]).toEqual([
      0, 0, 0,
    ]);
    expect(fleet.finished.map(({ outcome }) => outcome.kind)).toEqual(['worker_lost', 'worker_lost']);
    for (const name of ['e0', 'e1']) expect(fleet.endpoint(name).inFlight.requests).toBe(0);
    fleet.picker.checkIntegrity();
  });

  it('refuses what waits for a picker that is gone, and what comes later', async () => {
    const fleet = createFleet({ endpoints: 1, flowControl: fullAfterOne });
    const link = linkTo(fleet.picker);
    const requests = [submit(link.placer), submit(link.placer)];
    await link.settled();
    link.hostLink.destroy();
    await link.settled();
    requests.push(submit(link.placer));
    expect(requests.map(({ error }) => (error as ServiceError | undefined)?.code)).toEqual([
      undefined,
      'shutting_down',
      'shutting_down',
    ]);
    requests[0]?.placement?.finish({ kind: 'client_aborted' });
    expect(link.errors).toEqual([]);
  });

  it('makes the signal of a request only when it waits, and gives it up when that aborts', async () => {
    const fleet = createFleet({ endpoints: 1, flowControl: fullAfterOne });
    const link = linkTo(fleet.picker);
    const aborter = new AbortController();
    let read = 0;
    const options = {
      get signal() {
        read++;
        return aborter.signal;
      },
    };
    submit(link.placer, {}, options);
    await link.settled();
    expect(read).toBe(0);
    const waiting = submit(link.placer, {}, options);
    await link.settled();
    expect([read, fleet.picker.waitingRequests]).toEqual([1, 1]);
    aborter.abort();
    await link.settled();
    expect((waiting.error as ServiceError).code).toBe('client_closed');
    expect(fleet.picker.waitingRequests).toBe(0);
  });

  it('tells each piece of a response where the gaps are measured, else their sum at the end', async () => {
    const picker = fakePicker(['10.0.0.1:8000']);
    const link = linkTo({
      submit: (request, options, listener) =>
        picker.submit(request, options, {
          ...listener,
          placed: (assignment) => listener.placed({ ...assignment, timesPieces: request.isStreaming }),
        }),
    });
    const [timed, other] = [
      submit(link.placer, { isStreaming: true }),
      submit(link.placer, { isStreaming: false }),
    ];
    await link.settled();
    for (const { placement } of [timed, other]) for (let i = 0; i < 3; i++) placement?.passed(10);
    await link.settled();
    expect(picker.picks.map(({ passedBytes }) => passedBytes)).toEqual([30, 0]);
    for (const { placement } of [timed, other]) placement?.finish({ kind: 'client_aborted' });
    await link.settled();
    expect(picker.picks.map(({ passedBytes, outcomes }) => [passedBytes, outcomes.length])).toEqual([
      [30, 1],
      [30, 1],
    ]);
  });

  it('explains a decision to who asks, after another endpoint has served too', async () => {
    const picker = fakeEndpointPicker([
      { name: 'pod-0', address: '10.0.0.1:8000' },
      { name: 'pod-1', address: '10.0.0.2:8000' },
    ]);
    const link = linkTo(picker);
    const [explained, other] = [submit(link.placer, {}, { explains: true }), submit(link.placer)];
    const local = submit(picker, {}, { explains: true });
    await link.settled();
    expect(explained.placement!.explanation()).toEqual(local.placement!.explanation());
    expect(other.placement!.explanation()).toEqual([]);
    explained.placement!.servedBy('10.0.0.2:8000', []);
    expect(explained.placement!.explanation()[0]).toEqual(['x-pointsman-endpoint', 'pod-1']);
  });

  it('carries a refusal with all that a client is told', async () => {
    const picker = fakePicker([]);
    picker.failWith(new ServiceError('queue_timeout', 'Zu spät.', { param: 'model', retryAfterSeconds: 7 }));
    const link = linkTo(picker);
    const { error } = await new Promise<Submitted>((resolve) => {
      const submitted = submit(link.placer);
      void link.settled().then(() => resolve(submitted));
    });
    expect(error).toMatchObject({
      code: 'queue_timeout',
      message: 'Zu spät.',
      param: 'model',
      retryAfterSeconds: 7,
    });
  });

  it('refuses a request that is too large to cross, and goes on', async () => {
    const fleet = createFleet();
    const link = linkTo(fleet.picker);
    const large = submit(link.placer, { headers: new Map([['x', 'y'.repeat(17 << 20)]]) });
    expect((large.error as ServiceError).code).toBe('request_too_large');
    const next = submit(link.placer);
    await link.settled();
    expect(next.placement).toBeDefined();
  });

  it('refuses at once while the picker does not read', async () => {
    let unsentBytes = 65 << 20;
    const placer = new RemotePlacer(
      new FrameWriter(
        () => {},
        () => {},
      ),
      () => unsentBytes,
    );
    expect((submit(placer).error as ServiceError).code).toBe('overloaded');
    unsentBytes = 0;
    expect(submit(placer).error).toBeUndefined();
  });

  it('is closed by anything that is no frame of a door', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 8 }),
        fc.nat(6),
        async (frames, kind) => {
          const fleet = createFleet();
          const link = linkTo(fleet.picker);
          submit(link.placer);
          await link.settled();
          for (const payload of frames) {
            link.doorLink.writer.begin(kind, payload.length);
            link.doorLink.writer.bytes(payload);
            link.doorLink.writer.end();
          }
          await link.settled();
          for (const error of link.errors) expect(error).toBeInstanceOf(RangeError);
          link.doorLink.destroy();
          await link.settled();
          expect(fleet.picker.openAssignments).toBe(0);
          fleet.picker.checkIntegrity();
        },
      ),
      { numRuns: 500 },
    );
  });

  it.each([
    ['a priority that is no number', 6, Number.NaN],
    ['an endless priority', 6, Number.POSITIVE_INFINITY],
  ])('is closed by %s, which would stay in the sums of the pool', async (_, at, value) => {
    const link = linkTo(createFleet().picker);
    const frame = pickFrame(0);
    frame.writeDoubleLE(value, headBytes + at);
    await write(link, frame);
    expect(String(link.errors)).toContain('Expected a finite number');
  });

  it('is closed by blocks of no tokens', async () => {
    const fleet = createFleet();
    const link = linkTo(fleet.picker);
    await write(link, pickFrame(0, { prefix: { ...emptyPrefix, blockTokens: 0 } }));
    expect(String(link.errors)).toContain('Expected blocks of at least one token');
    fleet.picker.checkIntegrity();
  });

  it('is closed by a door that has more open than it may', async () => {
    const fleet = createFleet();
    const link = linkTo(fleet.picker);
    await write(link, pickFrame(mostOpenRequests - 1));
    expect(fleet.finished).toHaveLength(1);
    const other = linkTo(fleet.picker);
    await write(other, pickFrame(mostOpenRequests));
    expect(String(other.errors)).toContain(`Expected a ticket below ${mostOpenRequests}`);
    expect(fleet.finished).toHaveLength(1);
  });

  it('has a door refuse what is more than it may have open', () => {
    const placer = new RemotePlacer(
      new FrameWriter(
        () => {},
        () => {},
      ),
      () => 0,
    );
    for (let i = 0; i < mostOpenRequests; i++) submit(placer);
    expect(placer.openRequests).toBe(mostOpenRequests);
    expect((submit(placer).error as ServiceError).code).toBe('overloaded');
  });

  it('refuses a frame beyond the limit before it has come', () => {
    const splitter = new FrameSplitter(() => {}, 100);
    expect(() => splitter.push(Buffer.from([101, 0, 0, 0]))).toThrow(RangeError);
    expect(() => new FrameSplitter(() => {}, 100).push(Buffer.alloc(4))).toThrow('found one of 0');
  });
});

it('frames come out as they went in, wherever they are cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 20 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 400 })),
      (payloads, cuts) => {
        const written: Buffer[] = [];
        const writer = new FrameWriter(
          (bytes) => written.push(bytes),
          () => {},
        );
        payloads.forEach((payload, at) => {
          writer.begin(at, payload.length);
          writer.bytes(payload);
          writer.end();
        });
        writer.flush();
        const all = Buffer.concat(written);
        const read: [number, number[]][] = [];
        const splitter = new FrameSplitter(
          (kind, bytes, start, end) => read.push([kind, [...bytes.subarray(start, end)]]),
          1000,
        );
        for (let at = 0; at < all.length; ) {
          const length = cuts.next().value as number;
          splitter.push(all.subarray(at, at + length));
          at += length;
        }
        expect(read).toEqual(payloads.map((payload, at) => [at, [...payload]]));
      },
    ),
  );
});

it('listed headers are read like a map, before and after they become one', () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string(), fc.string({ maxLength: 300 })),
      fc.array(fc.string(), { maxLength: 20 }),
      (entries, others) => {
        const map = new Map(Object.entries(entries));
        const listed = new ListedHeaders(appendHeaders('before', map), 'before'.length, map.size);
        for (const name of [...map.keys(), ...others]) {
          expect(listed.get(name)).toBe(map.get(name));
          expect(listed.has(name)).toBe(map.has(name));
        }
        expect([...listed]).toEqual([...map]);
        expect(listed.size).toBe(map.size);
      },
    ),
  );
});
