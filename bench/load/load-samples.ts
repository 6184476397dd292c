import { setTimeout as delay } from 'node:timers/promises';
import { request } from 'undici';

export interface EndpointLoad {
  /** In the engine's own queue, as the gateway has last read it. */
  readonly queued: number;
  /** Sent by the gateway and not finished. */
  readonly inFlight: number;
}

export interface LoadSample {
  /** On the clock of `performance.now()`. */
  readonly atMs: number;
  /** By the endpoint's name. */
  readonly endpoints: ReadonlyMap<string, EndpointLoad>;
}

/** Reads the loads of the engines from a gateway's `/metrics` at intervals; nothing from one that does not tell them. */
export function sampleLoads(url: string, intervalMs: number) {
  const samples: LoadSample[] = [];
  const stopping = new AbortController();
  const run = async () => {
    while (!stopping.signal.aborted) {
      const endpoints = await readLoads(url).catch(() => undefined);
      if (endpoints === undefined || endpoints.size === 0) return;
      samples.push({ atMs: performance.now(), endpoints });
      await delay(intervalMs, undefined, { signal: stopping.signal }).catch(() => {});
    }
  };
  const running = run();
  return {
    samples: samples as readonly LoadSample[],
    stop: async () => {
      stopping.abort();
      await running;
    },
  };
}

async function readLoads(url: string): Promise<ReadonlyMap<string, EndpointLoad>> {
  const { statusCode, body } = await request(`${url}/metrics`);
  const text = await body.text();
  if (statusCode !== 200) return new Map();
  const queued = gauges(
    text,
    /^llm_d_epp_per_endpoint_queue_size\{.*model_server_endpoint="([^"]+)".*\} (\S+)$/gm,
  );
  const inFlight = gauges(text, /^llm_d_epp_inflight_requests\{.*endpoint_name="([^"]+)".*\} (\S+)$/gm);
  return new Map(
    [...inFlight].map(([name, value]) => [name, { queued: queued.get(name) ?? 0, inFlight: value }]),
  );
}

function gauges(text: string, pattern: RegExp): ReadonlyMap<string, number> {
  return new Map([...text.matchAll(pattern)].map(([, name, value]) => [name!, Number(value)]));
}

/** What was last read before that time. */
export function loadAt(samples: readonly LoadSample[], atMs: number): LoadSample['endpoints'] | undefined {
  return samples.findLast((sample) => sample.atMs <= atMs)?.endpoints;
}
