import { describe, expect, it } from 'vitest';
import type { EndpointPicker } from '../../src/endpoint-picker/index.ts';
import type { BodyMode } from '../../src/ext-proc/messages.ts';
import { fakePicker } from './fakes.ts';
import { chatBody, openStream, outline, settle } from './stream-harness.ts';

const size = Buffer.byteLength(chatBody);

describe('when the pick is made and how it is answered, by body mode', () => {
  const modes: readonly [BodyMode, { eager?: boolean }, string[]][] = [
    ['FULL_DUPLEX_STREAMED', {}, ['headers picked', `body(${size - 10})`, 'body(10)+end']],
    ['GRPC', {}, ['headers picked', `body(${size - 10})`, 'body(10)+end']],
    ['STREAMED', {}, ['headers picked', 'body', 'body']],
    ['STREAMED', { eager: true }, ['headers picked', 'body', 'body']],
  ];
  it.each(modes)('%s %o', async (request, { eager = false }, expected) => {
    const { headers, body, sent, picker } = openStream({ modes: { request, eager } });
    headers();
    await settle();
    body(chatBody.slice(0, -10));
    body(chatBody.slice(-10), true);
    await settle();
    expect(outline(sent)).toEqual(expected);
    expect(picker.picks).toHaveLength(1);
  });

  it.each<BodyMode>(['BUFFERED', 'BUFFERED_PARTIAL'])(
    '%s answers headers at once and picks on the body',
    async (request) => {
      const { headers, body, sent, picker } = openStream({ modes: { request } });
      headers();
      expect(outline(sent)).toEqual(['headers']);
      body(chatBody, true);
      await settle();
      expect(outline(sent)).toEqual(['headers', 'body picked']);
      expect(picker.picks[0]?.request.model).toBe('m');
    },
  );

  it('BUFFERED picks on a body that trailers follow', async () => {
    const { headers, body, trailers, sent, picker } = openStream({ modes: { request: 'BUFFERED' } });
    headers();
    body(chatBody, false);
    trailers();
    await settle();
    expect(outline(sent)).toEqual(['headers', 'body picked', 'trailers']);
    expect(picker.picks[0]?.request.model).toBe('m');
  });

  it('BUFFERED_PARTIAL picks from the headers when the body is cut', async () => {
    const { headers, body, sent, picker } = openStream({ modes: { request: 'BUFFERED_PARTIAL' } });
    headers();
    body('{"model":"m","messages":[{"role":"us', false);
    await settle();
    expect(outline(sent)).toEqual(['headers', 'body picked']);
    expect(picker.picks[0]?.request.model).toBeUndefined();
  });

  it('NONE picks from the headers', async () => {
    const { headers, sent } = openStream({ modes: { request: 'NONE' } });
    headers();
    await settle();
    expect(outline(sent)).toEqual(['headers picked']);
  });

  it.each<BodyMode>(['FULL_DUPLEX_STREAMED', 'BUFFERED', 'BUFFERED_PARTIAL', 'STREAMED', 'NONE'])(
    '%s picks on the headers of a request without a body',
    async (request) => {
      const { headers, sent } = openStream({ modes: { request } });
      headers({ headers: { ':method': 'GET', ':path': '/v1/models' }, endOfStream: true });
      await settle();
      expect(outline(sent)).toEqual(['headers picked']);
    },
  );

  it('holds the headers reply in full duplex until the body has ended', async () => {
    const { headers, body, sent } = openStream({ modes: { request: 'FULL_DUPLEX_STREAMED' } });
    headers();
    body(chatBody.slice(0, 20));
    await settle();
    expect(sent).toEqual([]);
    body(chatBody.slice(20), true);
    await settle();
    expect(outline(sent)).toEqual(['headers picked', 'body(20)', `body(${size - 20})+end`]);
  });
});

describe('the end of a request in full duplex', () => {
  const modes = { request: 'FULL_DUPLEX_STREAMED' } as const;

  it('closes the body on an empty last chunk', async () => {
    const { headers, body, sent } = openStream({ modes });
    headers();
    body(chatBody);
    body('', true);
    await settle();
    expect(outline(sent)).toEqual(['headers picked', `body(${size})+end`]);
  });

  it('leaves the body open and answers trailers when trailers end it', async () => {
    const { headers, body, trailers, sent } = openStream({ modes });
    headers();
    body(chatBody);
    trailers();
    await settle();
    expect(outline(sent)).toEqual(['headers picked', `body(${size})`, 'trailers']);
  });

  it('removes control headers that the client sends as trailers', async () => {
    const { headers, body, trailers, sent } = openStream({ modes });
    headers();
    body(chatBody);
    trailers({
      'x-prefiller-host-port': '6.6.6.6:1',
      'x-checksum': 'ok',
      'x-gateway-destination-endpoint': 'a',
    });
    await settle();
    expect(sent.at(-1)).toEqual({
      kind: 'trailers',
      direction: 'request',
      mutation: { set: [], remove: ['x-gateway-destination-endpoint', 'x-prefiller-host-port'] },
    });
  });

  it('answers trailers that come without a body', async () => {
    const { headers, trailers, sent } = openStream({ modes });
    headers({ headers: { ':method': 'GET', ':path': '/v1/models' } });
    trailers();
    await settle();
    expect(outline(sent)).toEqual(['headers picked', 'trailers']);
  });

  it('ignores chunks after the end (envoy issue 46237)', async () => {
    const { headers, body, sent } = openStream({ modes });
    headers();
    body(chatBody, true);
    body(chatBody, true);
    await settle();
    body(chatBody, true);
    await settle();
    expect(outline(sent)).toEqual(['headers picked', `body(${size})+end`]);
  });

  it('echoes a large body in pieces below 64 KiB without changing a byte', async () => {
    const { headers, body, sent } = openStream({ modes });
    const large = Buffer.from(
      JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'x'.repeat(300_000) }] }),
    );
    headers();
    for (let at = 0; at < large.length; at += 65_536) {
      body(large.subarray(at, at + 65_536), at + 65_536 >= large.length);
    }
    await settle();
    const pieces = sent.flatMap((reply) => (reply.kind === 'body' && reply.streamed ? [reply.streamed] : []));
    expect(Buffer.concat(pieces.map((piece) => piece.body)).equals(large)).toBe(true);
    expect(Math.max(...pieces.map((piece) => piece.body.length))).toBeLessThanOrEqual(62_000);
    expect(pieces.filter((piece) => piece.endOfStream)).toEqual([pieces.at(-1)]);
  });
});

describe('a data plane that does not declare its modes', () => {
  it('gets the pick in the headers reply when the whole body comes at once', async () => {
    const { stream, headers, body, sent, picker, isEnded } = openStream();
    headers();
    body(chatBody, true);
    stream.onHalfClose();
    await settle();
    expect(outline(sent)).toEqual(['headers picked', 'body']);
    expect(isEnded()).toBe(true);
    expect(picker.picks[0]?.outcomes).toEqual([{ kind: 'completed', status: 200, usage: undefined }]);
  });

  it('takes the half-close as the end of the body', async () => {
    const { stream, headers, body, sent, isEnded } = openStream();
    headers();
    body(chatBody, false);
    stream.onHalfClose();
    await settle();
    expect(outline(sent)).toEqual(['headers picked', 'body']);
    expect(isEnded()).toBe(true);
  });

  it('finds the API in the body when no path is sent', async () => {
    const { headers, body, picker } = openStream();
    headers({ headers: { ':path': '', ':method': '' } });
    body(chatBody, true);
    await settle();
    expect(picker.picks[0]?.request.promptTokens).toBeGreaterThan(5);
  });

  it('gets a pick from the headers when no body comes', async () => {
    const { headers, body, sent, fireTimer, picker } = openStream();
    headers();
    expect(fireTimer()).toBe(true);
    await settle();
    expect(outline(sent)).toEqual(['headers picked']);
    expect(picker.picks[0]?.request.model).toBeUndefined();
    body(chatBody, true);
    expect(outline(sent)).toEqual(['headers picked', 'body']);
  });

  it('is waited for once its body has begun', async () => {
    const { headers, body, fireTimer } = openStream();
    headers();
    body(chatBody.slice(0, 5));
    expect(fireTimer()).toBe(false);
  });
});

describe('STREAMED without waiting', () => {
  it('picks from the headers when the body takes too long, and still answers each chunk', async () => {
    const { headers, body, sent, fireTimer } = openStream({ modes: { request: 'STREAMED', eager: true } });
    headers();
    body('{"model":');
    body('"m",');
    fireTimer();
    body('"prompt":');
    await settle();
    expect(outline(sent)).toEqual(['headers picked', 'body', 'body', 'body']);
    body('"x"}', true);
    expect(outline(sent)).toEqual(['headers picked', 'body', 'body', 'body', 'body']);
  });

  it('picks from the headers before the held body fills the buffer of the data plane', async () => {
    const { headers, body, sent } = openStream({ modes: { request: 'STREAMED', eager: true } });
    headers();
    body(Buffer.alloc(300_000));
    await settle();
    expect(outline(sent)).toEqual(['headers picked', 'body']);
  });
});

describe('leaving', () => {
  it.each(['onHalfClose', 'onCancel'] as const)('%s before the pick aborts the pick', async (leave) => {
    const picker = fakePicker(['10.0.0.1:8000']);
    const release = picker.hold();
    const { stream, headers, body, sent } = openStream({
      modes: { request: 'FULL_DUPLEX_STREAMED' },
      picker,
    });
    headers();
    body(chatBody, true);
    stream[leave]();
    await settle();
    release();
    await settle();
    expect(picker.picks).toHaveLength(0);
    expect(sent).toEqual([]);
  });

  it('between pick and response counts as an abort by the client', async () => {
    const { stream, headers, body, picker } = openStream({ modes: { request: 'FULL_DUPLEX_STREAMED' } });
    headers();
    body(chatBody, true);
    await settle();
    stream.onHalfClose();
    stream.onCancel();
    expect(picker.picks[0]?.outcomes).toEqual([{ kind: 'client_aborted' }]);
  });

  it('gives back a pick that comes in the moment of leaving', async () => {
    const picker = fakePicker(['10.0.0.1:8000']);
    const deaf: EndpointPicker = {
      ...picker,
      submit: (request, _options, listener) => picker.submit(request, {}, listener),
    };
    const release = picker.hold();
    const { stream, headers, body } = openStream({
      modes: { request: 'FULL_DUPLEX_STREAMED' },
      collaborators: { picker: deaf },
    });
    headers();
    body(chatBody, true);
    stream.onCancel();
    release();
    await settle();
    expect(picker.picks[0]?.outcomes).toEqual([{ kind: 'client_aborted' }]);
  });

  it('by answering the client itself ends the wait for a pick', async () => {
    const picker = fakePicker(['10.0.0.1:8000']);
    picker.hold();
    const { headers, body, responseHeaders, sent } = openStream({
      modes: { request: 'FULL_DUPLEX_STREAMED' },
      picker,
    });
    headers();
    body(chatBody, true);
    responseHeaders({ headers: { ':status': '408' }, endOfStream: true });
    await settle();
    expect(outline(sent)).toEqual(['response headers']);
    expect(picker.picks).toHaveLength(0);
  });
});

it('only watches in observability mode', async () => {
  const { stream, headers, body, sent, picker, isEnded } = openStream({ isObservedOnly: true });
  headers();
  body(chatBody, true);
  await settle();
  stream.onHalfClose();
  expect(sent).toEqual([]);
  expect(picker.picks).toHaveLength(0);
  expect(isEnded()).toBe(true);
});

it('keeps replies in order and bounded while the peer is slow', async () => {
  const { stream, headers, body, sent, block, unblock } = openStream({
    modes: { request: 'FULL_DUPLEX_STREAMED' },
  });
  const large = JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'x'.repeat(200_000) }] });
  headers();
  block();
  body(large, true);
  await settle();
  expect(outline(sent)).toEqual(['headers picked']);
  expect(stream.isBlocked).toBe(true);
  unblock();
  expect(stream.isBlocked).toBe(false);
  expect(outline(sent)).toEqual([
    'headers picked',
    'body(62000)',
    'body(62000)',
    'body(62000)',
    `body(${large.length - 186_000})+end`,
  ]);
});
