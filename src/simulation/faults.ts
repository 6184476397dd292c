/** What goes wrong during a run. Endpoints are counted from 0. */
export type Fault =
  /** Drops its requests and its cache at `atMs`; refuses connections until `backMs`. */
  | { readonly kind: 'crash'; readonly endpoint: number; readonly atMs: number; readonly backMs: number }
  /** Every step takes `factor` times as long. */
  | { readonly kind: 'slow'; readonly endpoint: number; readonly factor: number }
  /** Gauges are read this often instead of at the run's interval. */
  | { readonly kind: 'stale_metrics'; readonly scrapeMs: number }
  /** This share of KV event batches never arrives. */
  | { readonly kind: 'lost_events'; readonly share: number }
  /** Joins the pool only at `atMs`. */
  | { readonly kind: 'late_start'; readonly endpoint: number; readonly atMs: number };
