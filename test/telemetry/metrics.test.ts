import { describe, expect, it } from 'vitest';
import type { Endpoint } from '../../src/scheduling/index.ts';
import { createMetrics, serveMetrics } from '../../src/telemetry/index.ts';
import { rawExchange } from '../support/raw-http.ts';
import { endpoint, finished, record, rejected, request } from './finished-request.ts';

function metricsOf(endpoints: () => readonly Endpoint[], maxModels = 1000) {
  return createMetrics({ snapshot: endpoints, version: '1.2.3', limits: { maxModels } });
}

const two = () => [endpoint('a'), { ...endpoint('b'), isReady: false }];

describe('metrics', () => {
  it("carry a finished request under llm-d's names", async () => {
    const metrics = metricsOf(two);
    metrics.observer.onFinished(finished());
    const lines = (await metrics.text()).body.split('\n');
    const labels = 'model_name="mini",target_model_name="mini",fairness_id="default-flow",priority="0"';
    expect(lines).toEqual(
      expect.arrayContaining([
        'llm_d_epp_info{commit="",build_ref="pointsman-1.2.3"} 1',
        `llm_d_epp_request_total{${labels}} 1`,
        `llm_d_epp_request_ttft_seconds_sum{${labels},streaming="true"} 0.04`,
        `llm_d_epp_request_duration_seconds_sum{${labels}} 0.14`,
        `llm_d_epp_request_streaming_tpot_seconds_sum{${labels}} 0.01`,
        `llm_d_epp_request_output_tokens_sum{${labels}} 11`,
        'llm_d_epp_scheduler_attempts_total{status="success",target_model_name="mini",endpoint_name="a",namespace="",port="8000"} 1',
        `llm_d_epp_request_ntpot_seconds_count{${labels}} 1`,
        'llm_d_epp_prefix_indexer_hit_ratio_sum{plugin_type="approx-prefix-cache-producer",plugin_name="approx-prefix-cache-producer"} 0.64',
        'llm_d_epp_prefix_indexer_hit_bytes_sum{plugin_type="approx-prefix-cache-producer",plugin_name="approx-prefix-cache-producer"} 256',
        'pointsman_decisions_total{endpoint="a",reason="prefix-cache"} 1',
        'pointsman_requests_total{endpoint="a",outcome="completed"} 1',
        'pointsman_predicted_cached_tokens_total{endpoint="a"} 64',
        'pointsman_observed_cached_tokens_total{endpoint="a"} 48',
        'pointsman_decision_metrics_age_seconds_sum 0.1',
      ]),
    );
  });

  it('show the pool as it is when they are asked for', async () => {
    const lines = (await metricsOf(two).text()).body.split('\n');
    expect(lines).toEqual(
      expect.arrayContaining([
        'llm_d_epp_ready_endpoints{name="default"} 1',
        'llm_d_epp_average_kv_cache_utilization{name="default"} 0.5',
        'llm_d_epp_per_endpoint_queue_size{name="default",model_server_endpoint="a"} 2',
        'llm_d_epp_inflight_requests{endpoint_name="a",namespace="",producer_name="inflight-load-producer"} 3',
        'llm_d_epp_inflight_tokens{endpoint_name="a",namespace="",producer_name="inflight-load-producer"} 50',
        'pointsman_endpoint_ready{endpoint="b"} 0',
      ]),
    );
  });

  it('count rejections, failures and plugins that failed', async () => {
    const metrics = metricsOf(two);
    const failures = [{ kind: 'scorer', name: 'mine', message: 'x' }] as const;
    metrics.observer.onRejected(rejected({ record: record({ ranking: [], failures }) }));
    metrics.observer.onFinished(
      finished({ outcome: { kind: 'rejected_by_engine', status: 503 }, retries: 2 }),
    );
    const { body: text } = await metrics.text();
    expect(text).toContain('pointsman_rejections_total{code="no_endpoints"} 1');
    expect(text).toContain('priority="0",error_code="engine_5xx"} 1');
    expect(text).toContain('pointsman_plugin_failures_total{kind="scorer",plugin="mine"} 1');
    expect(text).toContain('llm_d_epp_scheduler_attempts_total{status="failure",');
    expect(text).toContain('pointsman_retries_total 2');
  });

  it('count what doors refuse before anything of it is known', async () => {
    const metrics = metricsOf(two);
    metrics.refused('unauthorized');
    metrics.streams.refused('invalid_json');
    const { body: text } = await metrics.text();
    expect(text).toContain('pointsman_rejections_total{code="unauthorized"} 1');
    expect(text).toContain('pointsman_rejections_total{code="invalid_json"} 1');
    expect(text).toContain(
      'llm_d_epp_request_error_total{model_name="",target_model_name="",fairness_id="default-flow",priority="0",error_code="invalid_json"} 1',
    );
  });

  it('tell predicted delays beside observed ones, and missed targets, under current and older names', async () => {
    const metrics = createMetrics({ snapshot: two, version: '0.0.0', hasLegacyNames: true });
    const slo = { ttftMs: 10, tpotMs: 1000 };
    metrics.observer.onFinished(finished({ request: request({ slo }) }));
    metrics.observer.onFinished(finished({ predicted: undefined }));
    metrics.observer.onFinished(finished({ retries: 1 }));
    const lines = (await metrics.text()).body.split('\n');
    const ours = 'plugin_name="endpoint-calibration",plugin_type="endpoint-calibration"';
    const labels = `${ours},model_name="mini",target_model_name="mini"`;
    for (const prefix of ['llm_d_epp', 'inference_objective'])
      expect(lines).toEqual(
        expect.arrayContaining([
          `${prefix}_request_predicted_ttft_seconds_count{${labels}} 1`,
          `${prefix}_request_predicted_ttft_seconds_sum{${labels}} 0.03`,
          `${prefix}_request_predicted_tpot_seconds_sum{${labels}} 0.012`,
          `${prefix}_request_slo_violation_total{${labels},type="ttft"} 1`,
        ]),
      );
    expect(lines.join('\n')).not.toContain('type="tpot"');
    expect(lines.join('\n')).toContain('inference_objective_request_tpot_seconds_count');
  });

  it('forget endpoints that have left the pool', async () => {
    let present: readonly Endpoint[] = two();
    const metrics = metricsOf(() => present);
    metrics.observer.onFinished(finished());
    expect((await metrics.text()).body).toContain('endpoint="a"');
    present = [endpoint('b')];
    expect((await metrics.text()).body).not.toMatch(/endpoint(_name)?="a"/);
  });

  it('keep the number of model names bounded', async () => {
    const metrics = metricsOf(two, 2);
    for (const model of ['m1', 'm2', 'm3', 'm4'])
      metrics.observer.onFinished(finished({ request: request({ model }), record: record({ model }) }));
    const { body: text } = await metrics.text();
    expect(text).toContain('llm_d_epp_request_total{model_name="m1"');
    expect(text).toContain(
      'llm_d_epp_request_total{model_name="other",target_model_name="other",fairness_id="default-flow",priority="0"} 2',
    );
    expect(text).not.toContain('m3');
  });

  it('keep the number of tenants bounded', async () => {
    const metrics = createMetrics({ snapshot: two, version: '1', limits: { maxTenants: 1 } });
    for (const tenant of ['t1', 't2', 't3'])
      metrics.observer.onFinished(finished({ request: request({ tenant }) }));
    const { body: text } = await metrics.text();
    expect(text).toContain('fairness_id="t1",priority="0"} 1');
    expect(text).toContain('fairness_id="other",priority="0"} 2');
    expect(text).not.toContain('t3');
  });

  it('tell the spread of the pool, under its name', async () => {
    const busy = { ...endpoint('b'), metrics: { ...endpoint('b').metrics, queuedRequests: 6 } };
    const metrics = createMetrics({
      snapshot: () => [endpoint('a'), busy],
      version: '1',
      poolName: 'llama',
    });
    const lines = (await metrics.text()).body.split('\n');
    expect(lines).toContain('llm_d_epp_average_queue_size{name="llama"} 4');
    expect(lines).toContain('llm_d_epp_std_dev_queue_size{name="llama"} 2');
    expect(lines).toContain('llm_d_epp_std_dev_kv_cache_utilization{name="llama"} 0');
  });

  it('tell the phases of ext-proc streams', async () => {
    const metrics = metricsOf(two);
    metrics.streams.phase('picking', 2);
    expect((await metrics.text()).body).toContain(
      'pointsman_ext_proc_phase_seconds_sum{phase="picking"} 0.002',
    );
  });

  it('come under their older names as well, if asked for', async () => {
    const metrics = createMetrics({ snapshot: two, version: '1', hasLegacyNames: true });
    metrics.observer.onFinished(finished());
    const { body: text } = await metrics.text();
    const lines = text.split('\n');
    for (const [current, legacy] of [
      ['llm_d_epp_request_total', 'inference_objective_request_total'],
      ['llm_d_epp_request_output_tokens_bucket', 'inference_objective_output_tokens_bucket'],
      ['llm_d_epp_scheduler_attempts_total', 'inference_extension_scheduler_attempts_total'],
    ] as const) {
      const own = lines.filter((line) => line.startsWith(`${current}{`));
      expect(own.length).toBeGreaterThan(0);
      const twins = own.map((line) => line.replace(current, legacy).replace('endpoint_name=', 'pod_name='));
      expect(lines).toEqual(expect.arrayContaining(twins));
    }
    expect(lines).toContain('# TYPE inference_objective_request_duration_seconds histogram');
    expect(lines).toContain('inference_pool_ready_pods{name="default"} 1');
    expect(lines).toContain('inference_pool_per_pod_queue_size{name="default",model_server_pod="a"} 2');
    expect(new Set(lines.filter((line) => line.startsWith('# TYPE'))).size).toBe(
      lines.filter((line) => line.startsWith('# TYPE')).length,
    );
    expect((await metricsOf(two).text()).body).not.toMatch(/^inference_/m);
  });

  it('tell sizes, first tokens of whole answers, and rewritten models', async () => {
    const metrics = metricsOf(two);
    const whole = request({ isStreaming: false, requestedModel: 'alias' });
    metrics.observer.onFinished(finished({ request: whole, ttftMs: undefined }));
    const lines = (await metrics.text()).body.split('\n');
    const labels = 'model_name="alias",target_model_name="mini",fairness_id="default-flow",priority="0"';
    expect(lines).toEqual(
      expect.arrayContaining([
        `llm_d_epp_request_size_bytes_bucket{${labels},le="256"} 0`,
        `llm_d_epp_request_size_bytes_bucket{${labels},le="512"} 1`,
        `llm_d_epp_response_size_bytes_sum{${labels}} 2000`,
        `llm_d_epp_request_ttft_seconds_sum{${labels},streaming="false"} 0.14`,
        'llm_d_epp_model_rewrite_decisions_total{model_rewrite_name="configuration",model_name="alias",target_model="mini"} 1',
      ]),
    );
  });

  it('tell the gaps between the pieces of one streamed answer in eight', async () => {
    const metrics = metricsOf(two);
    const told = Array.from({ length: 17 }, () => metrics.observer.pieceGaps?.(request()));
    expect(told.filter((each) => each !== undefined)).toHaveLength(3);
    for (const each of told) each?.(15);
    expect((await metrics.text()).body).toMatch(
      /_streaming_itl_seconds_sum\{model_name="mini",.*\} 0\.045\n/,
    );
  });

  it('tell requests under way, those that wait, and what waiting came to', async () => {
    const metrics = createMetrics({
      snapshot: two,
      version: '1',
      openRequests: () => [request(), request(), request({ priority: 5 })],
      prefixIndex: () => ({ size: 12, lookups: 5, matchedBlocks: 40, admissions: 20, evictions: 8 }),
      waiting: () => [
        request({ priority: 5, tenant: 't' }),
        request({ priority: 5, tenant: 't', requestedModel: 'alias' }),
        request({ priority: 5, tenant: 't', bodyBytes: 7 }),
        request({ model: 'invented', requestedModel: 'invented' }),
      ],
    });
    metrics.onLookup(0.004);
    metrics.observer.onFinished(finished({ queuedMs: 20 }));
    metrics.observer.onRejected(rejected({ code: 'queue_timeout', waitedMs: 60_000 }));
    const lines = (await metrics.text()).body.split('\n');
    const labels = 'model_name="mini",target_model_name="mini",fairness_id="default-flow"';
    const queued = 'fairness_id="default-flow",priority="0"';
    const models = 'inference_pool="default",model_name="mini",target_model_name="mini"';
    expect(lines).toEqual(
      expect.arrayContaining([
        `llm_d_epp_request_running{${labels},priority="0"} 2`,
        `llm_d_epp_request_running{${labels},priority="5"} 1`,
        'llm_d_epp_prefix_indexer_size{plugin_type="approx-prefix-cache-producer",plugin_name="approx-prefix-cache-producer"} 12',
        '# TYPE llm_d_epp_kv_cache_index_admissions_total counter',
        'llm_d_epp_kv_cache_index_admissions_total 20',
        'llm_d_epp_kv_cache_index_evictions_total 8',
        'llm_d_epp_kv_cache_index_lookup_requests_total 5',
        'llm_d_epp_kv_cache_index_lookup_hits_total 40',
        'llm_d_epp_kv_cache_index_max_pod_hit_count_total 40',
        'llm_d_epp_kv_cache_index_lookup_latency_seconds_bucket{le="0.000002"} 0',
        'llm_d_epp_kv_cache_index_lookup_latency_seconds_bucket{le="0.000005"} 1',
        `llm_d_epp_flow_control_queue_size{fairness_id="t",priority="5",${models}} 2`,
        `llm_d_epp_flow_control_queue_bytes{fairness_id="t",priority="5",${models}} 407`,
        `llm_d_epp_flow_control_queue_size{fairness_id="t",priority="5",${models.replace('mini', 'alias')}} 1`,
        `llm_d_epp_flow_control_queue_size{${queued},${models.replaceAll('mini', 'other')}} 1`,
        `llm_d_epp_flow_control_queue_size{${queued},${models}} 0`,
        `llm_d_epp_flow_control_request_queue_duration_seconds_sum{${queued},outcome="Dispatched",${models}} 0.02`,
        `llm_d_epp_flow_control_request_queue_duration_seconds_sum{${queued},outcome="EvictedTTL",${models}} 60`,
        'llm_d_epp_flow_control_requests_total{outcome="Dispatched",priority="0",inference_pool="default"} 1',
      ]),
    );
    expect((await metricsOf(two).text()).body).not.toMatch(/flow_control_(queue|requests)/);
  });

  it('tell zero of what was there and is not now: a line that ends says nothing', async () => {
    const open = [request()];
    const waiting = [request({ priority: 5 })];
    const metrics = createMetrics({
      snapshot: two,
      version: '1',
      openRequests: () => open,
      waiting: () => waiting,
    });
    await metrics.text();
    open.length = 0;
    waiting.length = 0;
    const lines = (await metrics.text()).body.split('\n');
    const labels = 'model_name="mini",target_model_name="mini",fairness_id="default-flow",priority="0"';
    const models = 'inference_pool="default",model_name="mini",target_model_name="mini"';
    const queued = (priority: string) => `fairness_id="default-flow",priority="${priority}",${models}`;
    expect(lines).toEqual(
      expect.arrayContaining([
        `llm_d_epp_request_running{${labels}} 0`,
        `llm_d_epp_flow_control_queue_size{${queued('5')}} 0`,
        `llm_d_epp_flow_control_queue_bytes{${queued('5')}} 0`,
        `llm_d_epp_flow_control_queue_size{${queued('0')}} 0`,
      ]),
    );
  });

  it("tell the pool's saturation as llm-d counts it", async () => {
    const saturation = async (endpoints: readonly Endpoint[]) =>
      /pool_saturation\{.*\} (.*)/.exec((await metricsOf(() => endpoints).text()).body)?.[1];
    expect(await saturation([endpoint('a')])).toBe('0.625');
    expect(await saturation([{ ...endpoint('a'), isReady: false }])).toBe('1');
  });

  it.each([
    [{ inFlightRequests: 12 }, '0.25', 'inFlightRequests / 12'],
    [{ waitingRequests: 4, kvCacheUsage: 1 }, '0.5', 'max(waitingRequests / 4, kvCacheUsage / 1)'],
    [{ kvCacheUsage: 0.25, inFlightRequests: 12 }, '2', 'max(kvCacheUsage / 0.25, inFlightRequests / 12)'],
  ])('tell saturation by the limits that are given: %j', async (fullEndpoint, value, measure) => {
    const metrics = createMetrics({ snapshot: () => [endpoint('a')], version: '1', fullEndpoint });
    const { body } = await metrics.text();
    expect(/pool_saturation\{.*\} (.*)/.exec(body)?.[1]).toBe(value);
    expect(body).toContain(`mean of ${measure} over ready endpoints`);
  });

  it('count ejections, restorations and scrapes, until the endpoint is gone', async () => {
    let present: readonly Endpoint[] = two();
    const metrics = metricsOf(() => present);
    const { pool } = metrics;
    pool.ejected({ name: 'a' }, { cause: 'slow' });
    pool.restored({ name: 'a' });
    for (const result of ['figures', 'no_figures', 'timeout', 'failed']) pool.scraped({ name: 'a' }, result);
    expect((await metrics.text()).body.split('\n')).toEqual(
      expect.arrayContaining([
        'pointsman_endpoint_ejections_total{endpoint="a",cause="slow"} 1',
        'pointsman_endpoint_restorations_total{endpoint="a"} 1',
        'pointsman_scrapes_total{endpoint="a",result="timeout"} 1',
        'llm_d_epp_datalayer_poll_errors_total{source_type="metrics-data-source"} 2',
        'llm_d_epp_datalayer_extract_errors_total{source_type="metrics-data-source",extractor_type="core-metrics-extractor"} 1',
      ]),
    );
    present = [];
    pool.removed();
    expect((await metrics.text()).body).not.toMatch(/endpoint="a"/);
  });

  it('count ext-proc streams by their end', async () => {
    const metrics = metricsOf(two);
    for (let i = 0; i < 3; i++) metrics.streams.opened();
    metrics.streams.decided(3);
    metrics.streams.closed('OK', 1500);
    metrics.streams.closed('Canceled', 500);
    expect((await metrics.text()).body.split('\n')).toEqual(
      expect.arrayContaining([
        'llm_d_epp_extproc_streams_inflight 1',
        'llm_d_epp_extproc_streams_total{code="Canceled"} 1',
        'llm_d_epp_extproc_stream_duration_seconds_sum 2',
        'llm_d_epp_request_processing_duration_seconds_bucket{le="0.002"} 0',
        'llm_d_epp_request_processing_duration_seconds_bucket{le="0.005"} 1',
      ]),
    );
  });

  it('do not grow with the models that clients invent, nor with sets of labels', async () => {
    const metrics = createMetrics({ snapshot: two, version: '1', limits: { maxSets: 10 } });
    const invent = (at: number) => {
      const model = `invented-${at}`;
      metrics.observer.onRejected(rejected({ code: 'model_not_found', request: request({ model }) }));
      metrics.observer.onFinished(
        finished({ request: request({ tenant: `tenant-${at}`, model: `m${at}` }) }),
      );
    };
    for (let at = 0; at < 200; at++) invent(at);
    const { body } = await metrics.text();
    for (let at = 200; at < 2000; at++) invent(at);
    const later = (await metrics.text()).body;
    const count = (text: string) =>
      text.split('\n').filter((line) => line.startsWith('llm_d_epp_request_')).length;
    expect(count(later)).toBe(count(body));
    expect(later).not.toContain('invented');
    expect(later).toContain(
      'llm_d_epp_request_total{model_name="other",target_model_name="other",fairness_id="other",priority="0"} 1990',
    );
  });

  it('escape what clients name', async () => {
    const metrics = metricsOf(two);
    metrics.observer.onFinished(finished({ request: request({ model: 'a"b\\c\nd' }) }));
    expect((await metrics.text()).body).toContain('llm_d_epp_request_total{model_name="a\\"b\\\\c\\nd",');
  });

  it.each([
    ['only_one', { candidates: record().candidates.slice(0, 1), totals: [1] }],
    ['tie', { totals: [2, 2], tied: 2 }],
    ['queue-depth', { ranking: [endpoint('b'), endpoint('a')], totals: [1.92, 2] }],
    ['picker', { ranking: [endpoint('b'), endpoint('a')] }],
  ])('name %s as the reason of a decision', async (reason, given) => {
    const metrics = metricsOf(two);
    metrics.observer.onFinished(finished({ record: record(given) }));
    expect((await metrics.text()).body).toContain(`reason="${reason}"} 1`);
  });

  it('are served over HTTP, beside probes', async () => {
    let isReady = false;
    const server = await serveMetrics({
      host: '127.0.0.1',
      port: 0,
      metricsText: metricsOf(two).text,
      isReady: () => isReady,
    });
    const get = (path: string) => fetch(`http://${server.address}${path}`);
    const answer = await get('/metrics');
    expect(answer.headers.get('content-type')).toContain('text/plain; version=0.0.4');
    expect(await answer.text()).toContain('llm_d_epp_ready_endpoints');
    expect((await get('/health')).status).toBe(200);
    expect((await get('/ready')).status).toBe(503);
    isReady = true;
    expect((await get('/ready')).status).toBe(200);
    expect((await get('/other')).status).toBe(404);
    for (const target of ['//', 'http://[', '/\\'])
      expect(
        await rawExchange(server.port, `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`),
      ).toMatch(/^HTTP\/1\.1 40[04] /);
    await server.close();
    await expect(get('/metrics')).rejects.toThrow();
  });
});
