import type { MetricSeries } from './metric-definitions.ts';
import { type Family, gauge } from './series.ts';

/** Counts ext-proc streams; times are milliseconds. */
export interface StreamMetrics {
  readonly opened: () => void;
  readonly phase: (phase: string, durationMs: number) => void;
  /** The pick is made, this long after the stream's first message. */
  readonly picked: (durationMs: number) => void;
  /** A request was refused before the picker was asked. */
  readonly refused: (code: string) => void;
  /** `code` is the name of the gRPC status that it ended with. */
  readonly closed: (code: string, durationMs: number) => void;
  readonly inFlight: Family;
}

export function streamMetrics(series: MetricSeries, refused: (code: string) => void): StreamMetrics {
  const { streamPhase, streams, streamDuration, processing } = series;
  let open = 0;
  return {
    opened: () => void open++,
    phase: (phase, durationMs) => streamPhase.of(phase).observe(durationMs / 1000),
    picked: (durationMs) => processing.of().observe(durationMs / 1000),
    refused,
    closed: (code, durationMs) => {
      open--;
      streams.of(code).value++;
      streamDuration.of().observe(durationMs / 1000);
    },
    inFlight: gauge({
      name: 'llm_d_epp_extproc_streams_inflight',
      help: 'Ext-proc streams that are open.',
      read: () => [[[], open]],
    }),
  };
}
