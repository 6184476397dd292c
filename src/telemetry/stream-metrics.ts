import { defineMetrics, type MetricSeries } from './metric-definitions.ts';
import { type CounterFamily, type Family, gauge, type HistogramCounts } from './series.ts';

/** Counts ext-proc streams; times are milliseconds. */
export interface StreamMetrics {
  readonly opened: () => void;
  readonly phase: (phase: string, durationMs: number) => void;
  /** A request is picked for or refused, this long after the stream's first message. */
  readonly decided: (durationMs: number) => void;
  /** The response is over, after so much time with it. */
  readonly responded: (durationMs: number) => void;
  /** A request was refused before the picker was asked. */
  readonly refused: (code: string) => void;
  /** `code` is the name of the gRPC status that it ended with. */
  readonly closed: (code: string, durationMs: number) => void;
  /** What was counted since the last time, which is forgotten here; undefined if nothing was. */
  readonly take: () => StreamTally | undefined;
  /** Counts what another process has taken of its own streams. */
  readonly add: (tally: StreamTally) => void;
  readonly inFlight: Family;
}

/** What happened to streams in some time, as plain data. */
export interface StreamTally {
  /** Opened less closed. */
  readonly open: number;
  readonly ends: readonly (readonly [code: string, streams: number])[];
  readonly refused: readonly (readonly [code: string, requests: number])[];
  readonly durations?: HistogramCounts | undefined;
  readonly decided?: HistogramCounts | undefined;
  readonly responded?: HistogramCounts | undefined;
  readonly phases: readonly (readonly [phase: string, counts: HistogramCounts])[];
}

/** `refused` counts so many requests, one if it is not told. */
export function streamMetrics(
  series: MetricSeries,
  refused: (code: string, requests?: number) => void,
): StreamMetrics {
  const { streamPhase, streams, streamDuration, processing, responding, rejections } = series;
  let open = 0;
  return {
    opened: () => void open++,
    phase: (phase, durationMs) => streamPhase.of(phase).observe(durationMs / 1000),
    decided: (durationMs) => processing.of().observe(durationMs / 1000),
    responded: (durationMs) => responding.of().observe(durationMs / 1000),
    refused,
    closed: (code, durationMs) => {
      open--;
      streams.of(code).value++;
      streamDuration.of().observe(durationMs / 1000);
    },
    take: () => {
      const tally: StreamTally = {
        open,
        ends: takeCounts(streams),
        refused: takeCounts(rejections),
        durations: streamDuration.of().take(),
        decided: processing.of().take(),
        responded: responding.of().take(),
        phases: [...streamPhase].flatMap(([[phase = ''], histogram]) => {
          const counts = histogram.take();
          return counts === undefined ? [] : [[phase, counts] as const];
        }),
      };
      open = 0;
      return isEmpty(tally) ? undefined : tally;
    },
    add: (tally) => {
      open += tally.open;
      for (const [code, count] of tally.ends) streams.of(code).value += count;
      for (const [code, count] of tally.refused) refused(code, count);
      if (tally.durations !== undefined) streamDuration.of().add(tally.durations);
      if (tally.decided !== undefined) processing.of().add(tally.decided);
      if (tally.responded !== undefined) responding.of().add(tally.responded);
      for (const [phase, counts] of tally.phases) streamPhase.of(phase).add(counts);
    },
    inFlight: gauge({
      name: 'llm_d_epp_extproc_streams_inflight',
      help: 'Ext-proc streams that are open.',
      read: () => [[[], open]],
    }),
  };
}

function takeCounts(family: CounterFamily): readonly (readonly [string, number])[] {
  return [...family].flatMap(([[label = ''], counter]) => {
    const { value } = counter;
    counter.value = 0;
    return value === 0 ? [] : [[label, value] as const];
  });
}

function isEmpty({ open, ends, refused, phases, ...timed }: StreamTally): boolean {
  const { durations, decided, responded } = timed;
  if (durations !== undefined || decided !== undefined || responded !== undefined) return false;
  return open === 0 && ends.length === 0 && refused.length === 0 && phases.length === 0;
}

/** Stream metrics that are only taken. */
export function createStreamTally(): StreamMetrics {
  const series = defineMetrics();
  return streamMetrics(series, (code) => void series.rejections.of(code).value++);
}
