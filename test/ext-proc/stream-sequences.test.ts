import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { parseInferenceRequest } from '../../src/endpoint-picker/inference-request.ts';
import type { BodyMode, Direction } from '../../src/ext-proc/messages.ts';
import type { StreamCollaborators } from '../../src/ext-proc/stream-collaborators.ts';
import { fakePicker } from './fakes.ts';
import { chatBody, type Harness, openStream, outline, settle } from './stream-harness.ts';

/** What a data plane can do, sensible or not, in any order. */
const steps: Readonly<Record<string, (harness: Harness) => unknown>> = {
  headers: (harness) => harness.headers(),
  headersOnly: (harness) => harness.headers({ headers: { ':method': 'GET' }, endOfStream: true }),
  chunk: (harness) => harness.body(chatBody.slice(0, 9)),
  whole: (harness) => harness.body(chatBody, true),
  large: (harness) => harness.body('x'.repeat(150_000)),
  end: (harness) => harness.body('', true),
  trailers: (harness) => harness.trailers(),
  responseHeaders: (harness) => harness.responseHeaders(),
  responseChunk: (harness) => harness.responseBody('data: {"choices":[{"delta":{"content":"a"}}]}\n\n'),
  responseEnd: (harness) => harness.responseBody('data: [DONE]\n\n', true),
  responseTrailers: (harness) => harness.responseTrailers(),
  timer: (harness) => harness.fireTimer(),
  block: (harness) => harness.block(),
  unblock: (harness) => harness.unblock(),
  settle: () => settle(),
  halfClose: (harness) => harness.stream.onHalfClose(),
};

const modes: fc.Arbitrary<BodyMode | undefined> = fc.constantFrom(
  undefined,
  'NONE',
  'STREAMED',
  'BUFFERED',
  'BUFFERED_PARTIAL',
  'FULL_DUPLEX_STREAMED',
);

it('no sequence of messages leaks load, sends after the end or answers headers twice', async () => {
  const beginnings = fc.constantFrom([], ['headers'], ['headers', 'whole'], ['headers', 'whole', 'settle']);
  const rest = fc.array(fc.constantFrom(...Object.keys(steps)), { maxLength: 12 });
  const sequence = fc.tuple(beginnings, rest).map((parts) => parts.flat());
  await fc.assert(
    fc.asyncProperty(
      modes,
      modes,
      fc.boolean(),
      fc.boolean(),
      sequence,
      async (request, response, eager, fails, names) => {
        const picker = fakePicker(['10.0.0.1:8000']);
        if (fails) picker.failWith(new Error('broken'));
        const declared =
          request === undefined
            ? {}
            : { modes: { request, eager, ...(response === undefined ? {} : { response }) } };
        // The sink throws when anything is sent after the end, or when it is ended twice.
        const harness = openStream({ picker, ...declared });
        for (const name of names) await steps[name]!(harness);
        await settle();
        harness.stream.onCancel();
        await settle();

        expect(picker.picks.length).toBeLessThanOrEqual(1);
        expect(picker.picks.every(({ outcomes }) => outcomes.length === 1)).toBe(true);
        const replies = outline(harness.sent);
        expect(replies.filter((reply) => reply.startsWith('headers')).length).toBeLessThanOrEqual(1);
        expect(replies.filter((reply) => reply.includes('picked')).length).toBeLessThanOrEqual(1);
        expect(replies.slice(0, -1).some((reply) => reply.startsWith('immediate'))).toBe(false);
      },
    ),
    { numRuns: 1_000, seed: 7 },
  );
});

it('any chunking gives the same decision and the same bytes, in both directions', async () => {
  const answer = 'data: {"model":"real","choices":[{"delta":{"content":"\\"model\\":\\"real\\""}}]}\n\n';
  const cuts = fc.array(fc.nat(400), { maxLength: 8 });
  const parseRequest: StreamCollaborators['parseRequest'] = (http) =>
    parseInferenceRequest(http, {
      blockTokens: 16,
      maxPrefixTokens: 1024,
      rewriteModel: (model) => (model === 'm' ? 'real' : undefined),
    });
  await fc.assert(
    fc.asyncProperty(cuts, cuts, fc.boolean(), async (requestCuts, responseCuts, endsInTrailers) => {
      const harness = openStream({
        modes: { request: 'FULL_DUPLEX_STREAMED' },
        collaborators: { parseRequest },
      });
      harness.headers();
      for (const piece of cut(chatBody, requestCuts)) harness.body(piece);
      if (endsInTrailers) harness.trailers();
      else harness.body('', true);
      await settle();
      harness.responseHeaders();
      for (const piece of cut(answer.repeat(3), responseCuts)) harness.responseBody(piece);
      harness.responseBody('', true);
      expect(streamedBytes(harness, 'request')).toBe(chatBody.replace('"model":"m"', '"model":"real"'));
      expect(streamedBytes(harness, 'response')).toBe(answer.replace('"real"', '"m"').repeat(3));
      expect(harness.picker.picks[0]).toMatchObject({ request: { model: 'real' }, firstTokens: 1 });
    }),
    { numRuns: 300, seed: 11 },
  );
});

function cut(text: string, places: readonly number[]): string[] {
  const ends = [...places.map((place) => Math.min(place, text.length)), text.length].sort((a, b) => a - b);
  return ends.map((end, index) => text.slice(ends[index - 1] ?? 0, end));
}

function streamedBytes({ sent }: Harness, direction: Direction): string {
  const bodies = sent.flatMap((reply) =>
    reply.kind === 'body' && reply.direction === direction && reply.streamed !== undefined
      ? [reply.streamed.body]
      : [],
  );
  return Buffer.concat(bodies).toString();
}
