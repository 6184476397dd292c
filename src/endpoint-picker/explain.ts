/** The decision in short, for people who ask with a header why their request went where it went. */
import { decisionHeader, servedByHeader } from '../protocol/headers.ts';
import type { Endpoint } from '../scheduling/endpoint.ts';
import type { CandidateState, SchedulingResult } from '../scheduling/scheduling-result.ts';

/** Longer header values are refused by some proxies. */
const longestBytes = 2048;

export type Explanation = readonly (readonly [name: string, value: string])[];

interface Explained {
  readonly record: SchedulingResult;
  readonly endpoint: Pick<Endpoint, 'name'>;
}

/** The headers that answer `x-pointsman-explain: true`. */
export function explanation({ record, endpoint }: Explained): Explanation {
  return [
    [servedByHeader, asciiText(endpoint.name)],
    [decisionHeader, explainDecision(record, endpoint.name)],
  ];
}

/** Address and weighted sum of each candidate. */
export function candidateScores({
  candidates,
  totals,
}: SchedulingResult): readonly (readonly [address: string, score: number])[] {
  return candidates.map(({ address }, i) => [address, totals[i] ?? 0] as const);
}

/** One line of JSON in ASCII, at most 2 KiB; what does not fit is left out, lists of removed endpoints first. */
export function explainDecision(record: SchedulingResult, servedBy: string): string {
  const full = summary(record, servedBy);
  const counted = { ...full, removed: record.filters.map(({ filter, removed }) => [filter, removed.length]) };
  const { removed: _, runnerUp: __, ...short } = full;
  const { endpoint, total } = full;
  for (const attempt of [full, counted, short]) {
    const text = asciiJson(attempt);
    if (text.length <= longestBytes) return text;
  }
  return asciiJson({ endpoint: endpoint.slice(0, 256), total });
}

function summary(record: SchedulingResult, servedBy: string) {
  const [winner, second] = record.ranking;
  const chosen = candidate(record, winner?.name);
  return {
    endpoint: servedBy,
    // After a retry another endpoint answered than the one that was chosen.
    ...(winner === undefined || winner.name === servedBy ? {} : { chosen: winner.name }),
    profile: record.profile,
    ...chosen,
    ...(second === undefined
      ? {}
      : { runnerUp: { endpoint: second.name, ...candidate(record, second.name) } }),
    candidates: record.candidates.length,
    considered: record.considered,
    removed: record.filters
      .filter(({ removed }) => removed.length > 0)
      .map(({ filter, removed }) => ({ filter, endpoints: removed })),
    ...(record.failures.length === 0 ? {} : { failed: record.failures.map(({ name }) => name) }),
    tied: record.tied,
    promptTokens: record.promptTokens,
    decisionMs: rounded(record.durationMs),
  };
}

function candidate(record: SchedulingResult, name: string | undefined) {
  const index = record.candidates.findIndex((state) => state.name === name);
  const state: CandidateState | undefined = record.candidates[index];
  return {
    total: rounded(record.totals[index] ?? 0),
    /** Weight x score of each scorer. */
    scores: Object.fromEntries(
      record.scores.map(({ scorer, weight, scores }) => [scorer, rounded(weight * (scores[index] ?? 0))]),
    ),
    ...termsOf(record, index),
    cachedTokens: state?.cachedTokens ?? 0,
    inFlight: state?.inFlightRequests ?? 0,
    queued: state?.queuedRequests ?? 0,
    /** null when the endpoint was never scraped. */
    metricsAgeMs: state === undefined ? null : rounded(state.metricsAgeMs),
  };
}

/** What the scores are made of, with its unit in the name: `own prefill ms`. */
function termsOf({ scores }: SchedulingResult, index: number) {
  const terms = scores.flatMap(({ terms = [] }) =>
    terms.map(({ name, unit, values }) => [`${name} ${unit}`, rounded(values[index] ?? 0)] as const),
  );
  return terms.length === 0 ? {} : { terms: Object.fromEntries(terms) };
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}

/** What cannot be in a header becomes `?`. */
function asciiText(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?');
}

function asciiJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[^\x20-\x7e]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
