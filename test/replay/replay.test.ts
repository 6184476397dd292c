import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import activeRequests from '../../scorers/active-requests.ts';
import { decisionLine } from '../../src/endpoint-picker/index.ts';
import { differenceText, ReplayReport, readRecords, replayDecision } from '../../src/replay/index.ts';
import { parseDecision } from '../../src/replay/record-schema.ts';
import ready from '../../src/scheduling/filters/ready.ts';
import maxScore from '../../src/scheduling/pickers/max-score.ts';
import { createProfile, type Profile } from '../../src/scheduling/profile.ts';
import { seededRandom } from '../../src/scheduling/seeded-random.ts';
import { folderWith } from '../configuration/folder.ts';
import { createFleet, defaultProfile, promptOf } from '../endpoint-picker/support.ts';

function profileWith(name: string): Profile {
  const scorer = activeRequests.create(activeRequests.defaults);
  return createProfile({
    name,
    filters: [{ name: 'ready', filter: ready.create({}) }],
    scorers: [{ name, weight: 1, scorer }],
    picker: { name: 'max-score', picker: maxScore.create({}) },
  });
}

/** Lines of many decisions on a fleet whose caches are too small, with requests that come and end at random. */
async function recordDecisions(profile: Profile, picks = 300): Promise<string[]> {
  const lines: string[] = [];
  const fleet = createFleet({
    endpoints: 4,
    profile,
    index: { blocksPerEndpoint: 60 },
    onDecision: (record) => lines.push(decisionLine(record)),
  });
  const random = seededRandom(5);
  const open: Awaited<ReturnType<typeof fleet.pick>>[] = [];
  for (let i = 0; i < picks; i++) {
    fleet.clock.nowMs += 20 * random();
    const tenant = Math.floor(8 * random());
    const prompt = promptOf(`${`tenant ${tenant} `.repeat(400)}${random()}${'x'.repeat(4000 * random())}`);
    open.push(await fleet.pick(prompt));
    if (random() < 0.5) open.at(-1)!.firstToken();
    while (open.length > 12) {
      const [ended] = open.splice(Math.floor(open.length * random()), 1);
      ended!.finish({ kind: 'completed', status: 200, usage: undefined });
    }
  }
  return lines;
}

function replayAll(lines: readonly string[], profile: Profile, hasLateBinding = false) {
  return lines.map((line) => replayDecision(parseDecision(JSON.parse(line)), profile, { hasLateBinding }));
}

describe('a replay of decisions', () => {
  it.each([
    ['the default profile, ties, what it remembers and all', defaultProfile],
    ['another one', () => profileWith('active-requests')],
  ])('with %s gives the recorded picks and scores', async (_, create) => {
    const replayed = replayAll(await recordDecisions(create()), create());
    expect(replayed).toHaveLength(300);
    for (const { recorded, replayed: result } of replayed) {
      expect(result.ranking[0]?.name).toBe(recorded.result.ranking[0]);
      expect(result.totals).toEqual(recorded.result.totals);
    }
    expect(new Set(replayed.map(({ before }) => before)).size).toBe(4);
  });

  it('with another profile tells which picks differ, and why, in the terms of both', async () => {
    const replayed = replayAll(await recordDecisions(profileWith('active-requests')), defaultProfile());
    const report = new ReplayReport();
    const different = replayed.filter((each) => report.add(each));
    expect(different.length).toBeGreaterThan(0);
    expect(different.length).toBeLessThan(300);
    const { picks, different: counted, moves, picksBefore, picksAfter } = report.summary();
    const sum = (counts: Readonly<Record<string, number>>) =>
      Object.values(counts).reduce((total, count) => total + count, 0);
    expect([picks, counted, sum(moves), sum(picksBefore), sum(picksAfter)]).toEqual([
      300,
      different.length,
      different.length,
      300,
      300,
    ]);
    expect(report.text()).toContain(`${different.length} of 300 picks differ: `);

    const [first] = different;
    const text = differenceText(first!);
    expect(text).toContain(`${first!.before} -> ${first!.after}`);
    for (const row of ['1 x active-requests', 'shadow-price: own prefill, ms', 'total'])
      expect(text).toContain(row);
    // The new choice is the better one by the new profile's sums, the old one by the old.
    const [before, after] = [first!.before!, first!.after!];
    const { result, endpoints } = first!.recorded;
    const at = (name: string) => endpoints.findIndex((endpoint) => endpoint.name === name);
    expect(first!.replayed.totals[at(after)]).toBeGreaterThan(first!.replayed.totals[at(before)]!);
    expect(result.totals[at(before)]).toBeGreaterThanOrEqual(result.totals[at(after)]!);
  });

  it('with late binding chooses no endpoint that is down while another is ready, as the picker does', async () => {
    const lines: string[] = [];
    const fleet = createFleet({ endpoints: 2, onDecision: (record) => lines.push(decisionLine(record)) });
    const [down, up] = fleet.pool.snapshot(fleet.clock.nowMs).map(({ name }) => name);
    fleet.pool.recordScrapeFailure(fleet.pool.snapshot(fleet.clock.nowMs)[0]!, 'connection refused');
    await fleet.pick(promptOf('a prompt'));
    const blind = createProfile({
      name: 'blind',
      filters: [],
      scorers: [
        {
          name: 'the one that is down',
          weight: 1,
          scorer: (_, all) => all.map(({ name }) => (name === down ? 1 : 0)),
        },
      ],
      picker: { name: 'max-score', picker: maxScore.create({}) },
    });
    expect(replayAll(lines, blind, false)[0]!.after).toBe(down);
    expect(replayAll(lines, blind, true)[0]!.after).toBe(up);
  });

  it('names the filter that removes the recorded choice', async () => {
    const lines = await recordDecisions(profileWith('active-requests'), 5);
    const none = createProfile({
      name: 'none',
      filters: [{ name: 'nobody', filter: () => [] }],
      scorers: [],
      picker: { name: 'max-score', picker: maxScore.create({}) },
    });
    const [replayed] = replayAll(lines, none);
    expect(replayed!.after).toBeUndefined();
    expect(differenceText(replayed!)).toContain(`${replayed!.before} is now removed by filter nobody`);
  });
});

describe('a line of a decision', () => {
  it('holds neither prompt nor keys, whatever the configuration asks for', async () => {
    const lines: string[] = [];
    const fleet = createFleet({
      onDecision: (record) => lines.push(decisionLine(record, ['x-own', 'authorization', 'cookie'])),
    });
    const headers = new Map([
      ['authorization', 'Bearer secret-key'],
      ['cookie', 'secret=1'],
      ['x-session-id', 'session-4'],
      ['x-own', 'mine'],
      ['x-unknown', 'secret-too'],
    ]);
    await fleet.pick({ ...promptOf('a prompt that is secret '.repeat(40)), headers });
    expect(lines[0]).not.toContain('secret');
    expect(parseDecision(JSON.parse(lines[0]!)).request.headers).toEqual(
      new Map([
        ['x-session-id', 'session-4'],
        ['x-own', 'mine'],
      ]),
    );
    expect(lines[0]).not.toContain('\n');
  });

  it('gives back request and endpoints as they were, also what is not known of them', async () => {
    const lines: string[] = [];
    const fleet = createFleet({ endpoints: 1, onDecision: (record) => lines.push(decisionLine(record)) });
    fleet.pool.upsert({ name: 'new', address: '10.0.0.9:8000', labels: { zone: 'a' } });
    const endpoints = fleet.pool.snapshot(fleet.clock.nowMs);
    expect(endpoints[1]!.metrics.ageMs).toBe(Number.POSITIVE_INFINITY);
    const prompt = promptOf('hello '.repeat(1000));
    await fleet.pick({ ...prompt, tenant: 'a', priority: 3, slo: { ttftMs: 5, tpotMs: undefined } });
    const { request, endpoints: read, cachedTokens } = parseDecision(JSON.parse(lines[0]!));
    expect(read).toEqual(endpoints);
    expect(request.prefix).toEqual(prompt.prefix);
    expect(request).toMatchObject({ tenant: 'a', priority: 3, slo: { ttftMs: 5, isStrict: false } });
    expect([...cachedTokens]).toEqual([
      [0, 0],
      [1, 0],
    ]);
  });
});

describe('reading records', () => {
  const read = async (text: string) => {
    const file = join(folderWith({ 'records.jsonl': text }), 'records.jsonl');
    const kinds: string[] = [];
    for await (const line of readRecords(file)) kinds.push(line.kind);
    return kinds;
  };

  it('skips empty lines and tells where some are missing', async () => {
    const [line] = await recordDecisions(defaultProfile(), 1);
    expect(await read(`${line}\n\n{"dropped":12}\r\n${line}`)).toEqual(['decision', 'dropped', 'decision']);
  });

  it.each([
    ['no JSON', () => 'what?', /records\.jsonl:2: expected a decision record in JSON, found /],
    ['another JSON', () => '[1]', /records\.jsonl:2: this is no decision record: it has no version/],
    [
      'a newer version',
      () => '{"version":2}',
      /records\.jsonl:2: expected version 1 of the records, found 2/,
    ],
    [
      'a missing field',
      (line: string) => line.replace('"seed"', '"sed"'),
      /records\.jsonl:2: seed: .*expected number/,
    ],
    [
      'a field of another type',
      (line: string) => line.replace(/"isReady":true/, '"isReady":"yes"'),
      /records\.jsonl:2: endpoints\.0\.isReady: .*expected boolean/,
    ],
    [
      'a line that is cut off',
      (line: string) => line.slice(0, -20),
      /records\.jsonl:2: expected a decision record in JSON/,
    ],
  ])('names the line that holds %s', async (_, make, message) => {
    const [line] = await recordDecisions(defaultProfile(), 1);
    await expect(read(`${line}\n${make(line!)}\n`)).rejects.toThrow(message);
  });

  it('tells that there is no such file', async () => {
    await expect(readRecords('/nowhere/records.jsonl').next()).rejects.toThrow(
      '/nowhere/records.jsonl: there is no such file',
    );
  });
});
