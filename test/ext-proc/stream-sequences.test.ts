import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import type { BodyMode } from '../../src/ext-proc/messages.ts';
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
