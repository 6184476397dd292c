import { describe, expect, it, vi } from 'vitest';
import { runRows, selectRows } from '../../src/conformance/index.ts';
import { type Faults, serveFakePicker } from './fake-picker.ts';
import { openBackends, sessionWith } from './served-picker.ts';

/** A suite that cannot fail is worth nothing: each fault must be found, by the cases whose matter it is. */

/** Of the groups: more at once would be late for want of processor time, not for their fault. */
vi.setConfig({ maxConcurrency: 3 });

/** Judged in full duplex, without the heavy faults: those that the fake is not built for. */
const judged =
  /^(?!split|reset|cut-|half-close|junk|interleaved|empty-data|unknown|body-(1mb|huge)|response-1mb|slow-reader|modes|observability).*full-duplex\]/;

/** Cases that need the whole body of a request. */
const needBody = [
  'duplex-request',
  'duplex-response',
  'served',
  'served-foreign',
  'complete',
  'request-trailers',
  'response-trailers',
  'response-trailers-alone',
  'response-without-body',
  'response-error',
  'response-not-json',
  'response-split',
  'response-chunk-size',
  'response-headers-framing',
  'duplicate-last-chunk',
  'duplicate-before-pick',
  'empty-last-chunk',
  'content-length',
  'body-spelling',
  'body-cut-characters',
  'forwarded',
  'headers-repeated',
];

const expectations: readonly (readonly [name: string, faults: Faults, failing: readonly string[]])[] = [
  ['none', {}, []],
  [
    'answers the body without streamed_response',
    { bodyWithoutStreamed: true },
    [...needBody, 'reply-streamed'],
  ],
  ['names another endpoint in the metadata', { otherMetadata: true }, ['destination-equal']],
  ['drops the last chunk', { dropsLastChunk: true }, needBody],
  [
    'lets the destination of the client stand',
    { keepsSpoofedHeader: true },
    ['spoofed-destination', 'spoofed-repeated'],
  ],
  [
    'never ends a stream',
    { neverEnds: true },
    ['complete', 'response-without-body', 'duplicate-last-chunk', 'empty-last-chunk', 'forwarded'],
  ],
  ['answers the body before the headers', { bodyBeforeHeaders: true }, ['reply-order']],
  [
    'sets headers in value',
    { usesValue: true },
    [
      'pool',
      'destination-header',
      'destination-single',
      'get',
      'subset-list',
      'subset-longer-list',
      'subset-comma',
      'subset-comma-list',
      'subset-host',
      'subset-ipv6',
      'subset-get',
      'reply-raw-value',
      'request-trailers-alone',
      'attributes',
      'spoofed-destination',
    ],
  ],
  ['holds the response back', { holdsResponse: true }, ['duplex-response', 'response-trailers']],
  [
    'ignores the subset',
    { ignoresSubset: true },
    [
      'subset-list',
      'subset-longer-list',
      'subset-comma',
      'subset-comma-list',
      'subset-host',
      'subset-ipv6',
      'subset-port',
      'subset-get-empty',
      'subset-empty',
      'subset-unknown',
      'subset-empty-string',
      'subset-get',
    ],
  ],
];

/** Groups that are judged by themselves: with other faults they would only take time. */
const groups: readonly (readonly [name: string, faults: Faults, only: RegExp, failing: readonly string[]])[] =
  [
    ['none', {}, /^(modes-full-duplex-streamed-(?!grpc)|observability|slow-reader|health-watch)/, []],
    [
      'streams each response, whatever its mode',
      { alwaysStreams: true },
      /^modes-full-duplex-streamed-(?!grpc)/,
      [
        // Nothing of a response body is shown in NONE.
        'modes-full-duplex-streamed-streamed',
        'modes-full-duplex-streamed-buffered',
        'modes-full-duplex-streamed-buffered-partial',
      ],
    ],
    [
      'answers what it shall only observe',
      { answersObserved: true },
      /^observability/,
      ['observability', 'observability-silent'],
    ],
    ['reads on when nobody reads it', { ignoresBackPressure: true }, /^slow-reader/, ['slow-reader-bounded']],
    [
      'forgets trailers of a response',
      { forgetsTrailers: true },
      /^(request|response)-trailers.*full-duplex\]/,
      ['response-trailers', 'response-trailers-alone'],
    ],
    [
      'rewrites models by parsing, and never back',
      { rewritesByParsing: true },
      /^rewrite.*full-duplex\]/,
      ['rewrite-request', 'rewrite-response', 'rewrite-stream'],
    ],
    [
      'lets control headers through as trailers',
      { keepsTrailers: true },
      /^spoofed.*full-duplex\]/,
      ['spoofed-trailers'],
    ],
    [
      'names the key of fallbacks',
      { namesFallbackKey: true },
      /^(fallback-key|destination).*full-duplex\]/,
      ['fallback-key'],
    ],
    [
      'refuses objectives',
      { refusesWishes: true },
      /^(wishes|duplex).*full-duplex\]/,
      ['wishes', 'wishes-junk'],
    ],
    ['ignores ports of a subset', { ignoresPorts: true }, /^subset.*full-duplex\]/, ['subset-port']],
    ['refuses IPv6 hints', { refusesIpv6: true }, /^subset.*full-duplex\]/, ['subset-ipv6']],
    [
      'picks at random for a GET',
      { ignoresSubsetOfGet: true },
      /^subset.*full-duplex\]/,
      ['subset-get', 'subset-get-empty'],
    ],
    ['replaces errors of engines', { replacesErrors: true }, /^response.*full-duplex\]/, ['response-error']],
    [
      'wants whole lines of a response',
      { wantsWholeLines: true },
      /^response-(error|not-json|split).*full-duplex\]/,
      ['response-not-json', 'response-split'],
    ],
    [
      'echoes response headers',
      { echoesResponseHeaders: true },
      /^response.*full-duplex\]/,
      ['response-headers-framing'],
    ],
    [
      'keeps the pieces of a response',
      { keepsResponsePieces: true },
      /^(response|reply).*full-duplex\]/,
      ['response-chunk-size'],
    ],
    ['replaces', { replaces: true }, /^reply.*full-duplex\]/, ['reply-continue']],
    ['removes the host', { removesHost: true }, /^reply.*full-duplex\]/, ['reply-pseudo-headers']],
    ['none, on many connections', {}, /^ngf-connections/, []],
    ['counts connections up only', { keepsConnections: true }, /^ngf-connections/, ['ngf-connections']],
    ['lists no health services', { listsNothing: true }, /^health-(list|watch)/, ['health-list']],
    [
      'none, with rewriting',
      { readsValueFirst: false, collapsesLines: false },
      /^(headers|spoofed).*full-duplex\]/,
      [],
    ],
    [
      'reads value before raw_value',
      { readsValueFirst: true },
      /^headers.*full-duplex\]/,
      ['headers-both-values'],
    ],
    [
      'sets headers again that came in lines',
      { collapsesLines: true },
      /^(headers|spoofed).*full-duplex\]/,
      ['headers-repeated', 'spoofed-repeated'],
    ],
    [
      'appends to a destination that came in lines',
      { appendsToLines: true },
      /^(headers|spoofed).*full-duplex\]/,
      ['spoofed-repeated'],
    ],
    ['none, with TLS', { tls: 'well' }, /^(tls|http1)/, []],
    ['chooses HTTP/1.1', { tls: 'choosesHttp1' }, /^(tls|http1)/, ['tls-alpn', 'http1']],
    ['waits in vain for a protocol to be offered', { tls: 'wantsAlpn' }, /^(tls|http1)/, ['tls-no-alpn']],
    ['none, with shedding', { sheds: 'well' }, /^shed/, []],
    ['sheds without a word', { sheds: 'without headers' }, /^shed/, ['shed-headers']],
    ['sheds with 503', { sheds: 'with 503' }, /^shed/, ['shed', 'shed-headers']],
    ['sheds for ever', { sheds: 'never again' }, /^shed/, ['shed-over']],
    ['lets everybody wait', { sheds: 'never' }, /^shed/, ['shed', 'shed-headers', 'shed-over']],
    ['ends a health Watch', { endsWatch: true }, /^health-watch/, ['health-watch', 'health-watch-unknown']],
  ];

/**
 * A case fails mostly by waiting in vain, so as many judges wait at once, each with a picker and engines of its own;
 * who is done takes the next case.
 */
async function failing(
  faults: Faults,
  { only, timeoutMs, judges }: { readonly only: RegExp; readonly timeoutMs: number; readonly judges: number },
): Promise<ReadonlySet<string>> {
  const rows = selectRows({ only })[Symbol.iterator]();
  const failed = new Set<string>();
  const judge = async () => {
    const { backends, endpoints } = await openBackends();
    const server = await serveFakePicker(endpoints, faults);
    const session = sessionWith(server.address, {
      backends,
      endpoints,
      timeoutMs,
      warmUpMs: 2000,
      target: { host: '127.0.0.1', port: server.port, usesTls: faults.tls !== undefined },
      sheds: faults.sheds === undefined ? undefined : '',
    });
    try {
      await session.warmUp();
      for (const row of rows) {
        const [judged] = await runRows(session, [row], () => {});
        if (judged?.result.kind === 'failed') failed.add(row.conformanceCase.id);
      }
    } finally {
      await session.close();
      await server.close(0);
      await backends.close();
    }
  };
  await Promise.all(Array.from({ length: judges }, judge));
  return failed;
}

describe('a picker with the fault', () => {
  it.each(expectations)(
    '%s fails what it should',
    async (_name, faults, expected) => {
      const failed = await failing(faults, { only: judged, timeoutMs: 1500, judges: 12 });
      expect([...failed].sort()).toEqual([...expected].sort());
    },
    120_000,
  );
});

describe('a picker with a fault in one group of cases', () => {
  it.concurrent.each(groups)(
    '%s fails what it should of its group',
    async (_name, faults, only, expected) => {
      const failed = await failing(faults, { only, timeoutMs: 3000, judges: 1 });
      expect([...failed].sort()).toEqual([...expected].sort());
    },
    120_000,
  );
});

it('a list of endpoints fails only where none was declared', async () => {
  const { backends, endpoints } = await openBackends();
  const server = await serveFakePicker(endpoints, { namesList: true });
  const only = /destination-single/;
  for (const [namesFallbacks, kinds] of [
    [false, ['failed', 'failed', 'failed']],
    [true, ['skipped', 'passed', 'skipped']],
  ] as const) {
    const session = sessionWith(server.address, { backends, endpoints, timeoutMs: 2000, namesFallbacks });
    await session.warmUp();
    const duplex = selectRows({ only }).filter(
      ({ dialect }) => dialect !== 'any' && dialect.modes?.request === 'FULL_DUPLEX_STREAMED',
    );
    const rows = await runRows(session, duplex, () => {});
    expect(rows.map(({ result }) => result.kind)).toEqual(kinds);
    await session.close();
  }
  await server.close(0);
  await backends.close();
});
