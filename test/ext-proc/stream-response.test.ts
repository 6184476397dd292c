import { describe, expect, it } from 'vitest';
import type { BodyMode } from '../../src/ext-proc/messages.ts';
import { fakePicker } from './fakes.ts';
import {
  chatBody,
  type Harness,
  type HarnessOptions,
  openStream,
  outline,
  settle,
} from './stream-harness.ts';

const event = (text: string) => `data: {"choices":[{"index":0,"delta":{"content":"${text}"}}]}\n\n`;
const usageEvent = 'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n';
const done = 'data: [DONE]\n\n';

/** A stream whose request has been picked and answered. */
async function picked(
  request: BodyMode = 'FULL_DUPLEX_STREAMED',
  response: BodyMode = request,
  options: HarnessOptions = {},
): Promise<Harness> {
  const harness = openStream({ modes: { request, response }, ...options });
  harness.headers();
  await settle();
  if (request !== 'NONE') harness.body(chatBody, true);
  await settle();
  harness.sent.length = 0;
  return harness;
}

const outcomes = ({ picker }: Harness) => picker.picks.map((pick) => pick.outcomes);

describe('replies to a response', () => {
  it('full duplex: each chunk comes back at once', async () => {
    const harness = await picked();
    harness.responseHeaders();
    expect(outline(harness.sent)).toEqual(['response headers']);
    harness.responseBody(event('a'));
    expect(outline(harness.sent).at(-1)).toBe(`response body(${event('a').length})`);
    harness.responseBody(done, true);
    expect(outline(harness.sent).at(-1)).toBe(`response body(${done.length})+end`);
  });

  it('full duplex: trailers end it, and a chunk after the end is ignored', async () => {
    const withTrailers = await picked();
    withTrailers.responseHeaders();
    withTrailers.responseBody(done);
    withTrailers.responseTrailers();
    expect(outline(withTrailers.sent)).toEqual([
      'response headers',
      `response body(${done.length})`,
      'response trailers',
    ]);
    const twice = await picked();
    twice.responseHeaders();
    twice.responseBody(done, true);
    twice.responseBody(done, true);
    expect(outline(twice.sent)).toEqual(['response headers', `response body(${done.length})+end`]);
  });

  it('full duplex: large chunks come back in pieces', async () => {
    const harness = await picked();
    harness.responseHeaders();
    harness.responseBody(Buffer.alloc(65_536), true);
    expect(outline(harness.sent).slice(1)).toEqual(['response body(62000)', 'response body(3536)+end']);
  });

  it.each<BodyMode>(['STREAMED', 'BUFFERED', 'BUFFERED_PARTIAL'])(
    '%s: one empty reply each',
    async (mode) => {
      const harness = await picked(mode);
      harness.responseHeaders();
      harness.responseBody(event('a'));
      harness.responseBody(done, true);
      expect(outline(harness.sent)).toEqual(['response headers', 'response body', 'response body']);
    },
  );

  it('the two directions may differ', async () => {
    const harness = await picked('BUFFERED', 'FULL_DUPLEX_STREAMED');
    harness.responseHeaders();
    harness.responseBody('{}', true);
    expect(outline(harness.sent)).toEqual(['response headers', 'response body(2)+end']);
  });
});

describe('what becomes of the assignment', () => {
  it('completed, with usage and one first token', async () => {
    const harness = await picked();
    harness.responseHeaders();
    const all = event('a') + event('b') + usageEvent + done;
    for (let at = 0; at < all.length; at += 11) harness.responseBody(all.slice(at, at + 11));
    expect(harness.picker.picks[0]?.firstTokens).toBe(1);
    expect(outcomes(harness)).toEqual([[]]);
    harness.responseBody('', true);
    harness.stream.onHalfClose();
    harness.stream.onCancel();
    expect(outcomes(harness)).toEqual([
      [
        {
          kind: 'completed',
          status: 200,
          usage: expect.objectContaining({ promptTokens: 7, completionTokens: 2 }),
        },
      ],
    ]);
  });

  it('a JSON body counts as its own first token', async () => {
    const harness = await picked();
    harness.responseHeaders({ headers: { 'content-type': 'application/json' } });
    harness.responseBody('{"usage":{"prompt_tokens":7,"completion_tokens":2}}', true);
    expect(outcomes(harness)[0]).toMatchObject([{ kind: 'completed', usage: { promptTokens: 7 } }]);
  });

  it.each([400, 429, 500, 503])('a %d of the engine is its refusal', async (status) => {
    const harness = await picked();
    harness.responseHeaders({ headers: { ':status': String(status) }, endOfStream: true });
    expect(outcomes(harness)).toEqual([[{ kind: 'rejected_by_engine', status }]]);
  });

  it.each([
    ['upstream_reset_before_response_started{remote_connection_failure|delayed}', 'connect_failed'],
    ['upstream_reset_before_response_started{connection_termination}', 'upstream_failed'],
    ['no_healthy_upstream', 'connect_failed'],
    ['upstream_response_timeout', 'upstream_failed'],
    ['upstream_reset_before_response_started{overflow}', 'rejected_by_engine'],
    ['via_upstream', 'rejected_by_engine'],
  ])('a 503 with code details %s means %s', async (details, kind) => {
    const harness = await picked();
    harness.responseHeaders({
      headers: { ':status': '503' },
      endOfStream: true,
      attributes: {
        'envoy.filters.http.ext_proc': { fields: { 'response.code_details': { stringValue: details } } },
      },
    });
    expect(outcomes(harness)).toEqual([[expect.objectContaining({ kind })]]);
  });

  it.each([
    [
      'upstream connect error or disconnect/reset before headers. reset reason: connection failure',
      'connect_failed',
    ],
    [
      'upstream connect error or disconnect/reset before headers. reset reason: connection termination',
      'upstream_failed',
    ],
    [
      'upstream connect error or disconnect/reset before headers. reset reason: overflow',
      'rejected_by_engine',
    ],
    ['no healthy upstream', 'connect_failed'],
    ['upstream request timeout', 'upstream_failed'],
    ['busy', 'rejected_by_engine'],
  ])('a 503 that says "%s" means %s', async (text, kind) => {
    const harness = await picked();
    harness.responseHeaders({ headers: { ':status': '503', 'content-type': 'text/plain' } });
    harness.responseBody(text.slice(0, 10));
    harness.responseBody(text.slice(10), true);
    expect(outcomes(harness)).toEqual([[expect.objectContaining({ kind })]]);
  });

  it('a stream that our shutdown cuts is no abort by the client', async () => {
    const harness = await picked('FULL_DUPLEX_STREAMED', 'FULL_DUPLEX_STREAMED', {
      collaborators: { isCutting: () => true },
    });
    harness.responseHeaders();
    harness.responseBody(event('a'));
    harness.stream.onCancel();
    expect(outcomes(harness)).toEqual([[{ kind: 'cut_at_shutdown' }]]);
  });

  it('leaving in the middle is an abort by the client', async () => {
    const harness = await picked();
    harness.responseHeaders();
    harness.responseBody(event('a'));
    harness.stream.onHalfClose();
    expect(outcomes(harness)).toEqual([[{ kind: 'client_aborted' }]]);
  });

  it('leaving after the last event is not', async () => {
    const harness = await picked();
    harness.responseHeaders();
    harness.responseBody(event('a') + done);
    harness.stream.onCancel();
    expect(outcomes(harness)).toMatchObject([[{ kind: 'completed' }]]);
  });

  it('a data plane that shows no response bodies completes when it leaves', async () => {
    const harness = await picked('FULL_DUPLEX_STREAMED', 'NONE');
    harness.responseHeaders();
    harness.stream.onHalfClose();
    expect(outcomes(harness)).toMatchObject([[{ kind: 'completed', status: 200 }]]);
  });

  it('trailers complete it', async () => {
    const harness = await picked();
    harness.responseHeaders();
    harness.responseBody(event('a'));
    harness.responseTrailers();
    expect(outcomes(harness)).toMatchObject([[{ kind: 'completed' }]]);
  });

  it('a fault in watching costs nobody the response', async () => {
    const harness = await picked('FULL_DUPLEX_STREAMED', 'FULL_DUPLEX_STREAMED', {
      collaborators: {
        observeResponse: () => {
          throw new Error('broken');
        },
      },
    });
    harness.responseHeaders();
    harness.responseBody('abc', true);
    expect(outline(harness.sent)).toEqual(['response headers', 'response body(3)+end']);
    expect(harness.picker.inFlight()).toBe(0);
  });
});

describe('the endpoint that served', () => {
  const served = (address: string) => ({
    'envoy.lb': { fields: { 'x-gateway-destination-endpoint-served': { stringValue: address } } },
  });

  it('moves the reservation when it is a fallback', async () => {
    const picker = fakePicker(['10.0.0.1:8000', '10.0.0.2:8000', '10.0.0.3:8000']);
    const harness = await picked('FULL_DUPLEX_STREAMED', 'FULL_DUPLEX_STREAMED', {
      picker,
      collaborators: { fallbacks: 2 },
    });
    harness.responseHeaders({ metadata: served('10.0.0.3:8000') });
    expect(picker.picks[0]?.served).toEqual([['10.0.0.3:8000', '10.0.0.1:8000', '10.0.0.2:8000']]);
  });

  it('changes nothing when it is the one that was picked', async () => {
    const harness = await picked();
    harness.responseHeaders({ metadata: served('10.0.0.1:8000') });
    expect(harness.picker.picks[0]?.served).toEqual([]);
  });

  it('blames nobody when it was not named', async () => {
    const harness = await picked();
    harness.responseHeaders({ metadata: served('10.9.9.9:1') });
    expect(harness.picker.picks[0]?.served).toEqual([['10.9.9.9:1']]);
  });
});
