import { describe, expect, it } from 'vitest';
import { environmentWarnings } from '../../src/commands/llm-d/environment.ts';
import { llmDFlagsHelp, mergeLoadOptions, readLlmDFlags } from '../../src/commands/llm-d/read-flags.ts';
import { loadConfiguration } from '../../src/configuration/index.ts';
import { chartDefaults } from '../configuration/llm-d/documents.ts';

function valuesOf(args: readonly string[]): Record<string, unknown> {
  const { overrides } = readLlmDFlags(args).llmD;
  return Object.fromEntries(overrides.map(({ path, value }) => [path.join('.'), value]));
}

describe("llm-d's flags", () => {
  it('are read as KServe passes them, empty arguments included', async () => {
    const { rest, llmD } = readLlmDFlags([
      '--pool-name',
      'llama-inference-pool',
      '--pool-namespace',
      'models',
      '--zap-encoder',
      'json',
      '--grpc-port',
      '9102',
      '--grpc-health-port',
      '9103',
      '',
      '--enable-cert-reload=true',
      '--secure-serving=true',
      '',
      '--cert-path=/var/run/kserve/tls',
      '--model-server-metrics-scheme=https',
      '--config-text',
      chartDefaults,
      '--ha-enable-leader-election',
      '--tracing=true',
      '--emit-endpoint-scores',
      '--endpoints',
      '10.0.0.1:8000',
    ]);
    expect(rest).toEqual(['--endpoints', '10.0.0.1:8000']);
    expect(llmD.options).toMatchObject({ poolName: 'llama-inference-pool', poolNamespace: 'models' });
    expect(llmD.warnings).toEqual([
      '--ha-enable-leader-election has no effect: every replica serves; there is no leader',
      '--tracing has no effect: no traces are written yet',
    ]);
    const loaded = await loadConfiguration(mergeLoadOptions({}, llmD));
    expect(loaded.configuration.extProc).toMatchObject({
      host: '0.0.0.0',
      port: 9102,
      scores: true,
      tls: { mode: 'files', cert: '/var/run/kserve/tls/tls.crt', key: '/var/run/kserve/tls/tls.key' },
    });
    expect(loaded.configuration.health.port).toBe(9103);
    expect(loaded.configuration.log.format).toBe('json');
    expect(loaded.configuration.pool.scrape).toMatchObject({ scheme: 'https', verifyTls: false });
    expect(loaded.profile.scorers.map(({ name }) => name)).toContain('queue-min-max');
  });

  it("are read as llm-d's charts pass them", () => {
    const { rest, llmD } = readLlmDFlags([
      '--endpoint-selector',
      'app=vllm,tier=gpu',
      '--endpoint-target-ports',
      '8000',
      '--zap-encoder',
      'json',
      '--config-file',
      '/config/default-plugins.yaml',
      '--v=4',
      '--metrics-endpoint-auth=false',
    ]);
    expect(rest).toEqual([]);
    expect(llmD.options).toEqual({
      endpointSelector: 'app=vllm,tier=gpu',
      configFile: '/config/default-plugins.yaml',
    });
    expect(llmD.warnings).toEqual(['--endpoint-target-ports has no effect: ports are part of --endpoints']);
  });

  it("are read as today's charts pass them: --flag=value, gates of their own, no TLS beside agentgateway", async () => {
    const { rest, llmD } = readLlmDFlags([
      '--pool-name',
      'llama',
      '--pool-namespace',
      'models',
      '--pool-group',
      'inference.networking.k8s.io',
      '--zap-encoder',
      'json',
      '--grpc-health-port',
      '9003',
      '--v=2',
      '--secure-serving=false',
      '--feature-gates=flowControl=true,haPopulateNonLeaderDatastore',
      '--plugin-state-staleness-threshold=30m',
      '--fairness-id-metric-label-limit=50',
      '--model-server-metrics-path=/prometheus/metrics',
      '--ha-enable-leader-election=false',
      '--tracing=false',
      '--metrics-endpoint-auth=false',
      '--config-text',
      chartDefaults,
    ]);
    expect(rest).toEqual([]);
    expect(llmD.warnings.map((line) => line.split(' ')[0])).toEqual([
      '--plugin-state-staleness-threshold',
      '--fairness-id-metric-label-limit',
    ]);
    const { configuration } = await loadConfiguration(mergeLoadOptions({}, llmD));
    expect(configuration.flowControl.enabled).toBe(true);
    expect(configuration.extProc.tls.mode).toBe('off');
    expect(configuration.pool.scrape.path).toBe('/prometheus/metrics');
  });

  it('pass over the value of a boolean that stands by itself, as Go does, and say so', () => {
    const { rest, llmD } = readLlmDFlags(['--secure-serving', 'false', '--enable-pprof', 'true', '--v', '1']);
    expect(rest).toEqual([]);
    expect(llmD.warnings).toEqual([
      '--secure-serving false means --secure-serving=true, as in llm-d; write --secure-serving=false',
      '--enable-pprof has no effect: use node --cpu-prof',
    ]);
    expect(valuesOf(['--secure-serving', 'false'])).toEqual({});
  });

  it('may be written with one dash, in camelCase, and with Go durations', () => {
    expect(valuesOf(['-grpcPort', '1', '-refresh-metrics-interval=1m30s', '--zapLogLevel', 'error'])).toEqual(
      {
        'extProc.port': 1,
        'pool.scrape.intervalMs': 90_000,
        'log.level': 'error',
      },
    );
    expect(valuesOf(['--drain-timeout', '45s'])).toEqual({ 'shutdown.drainDelayMs': 45_000 });
    expect(valuesOf(['--grpc-max-recv-msg-size=10MiB'])).toEqual({ 'gateway.maxBodyBytes': 10_485_760 });
    expect(valuesOf(['-v', '5'])).toEqual({ 'log.level': 'debug' });
  });

  it('leave our own flags alone, and let them win', async () => {
    const { rest, llmD } = readLlmDFlags(['-c', 'x.yaml', '--ext-proc-port', '7', '--health-port=8', '-h']);
    expect(rest).toEqual(['-c', 'x.yaml', '--ext-proc-port', '7', '--health-port=8', '-h']);
    expect(llmD.isLlmD).toBe(false);
    expect(readLlmDFlags(['--metrics-port', '1']).llmD.isLlmD).toBe(false);
    const own = { overrides: [{ path: ['extProc', 'host'], value: '127.0.0.1', flag: '--host' }] };
    const merged = mergeLoadOptions(own, readLlmDFlags(['--grpc-port=1']).llmD);
    expect((await loadConfiguration(merged)).configuration.extProc.host).toBe('127.0.0.1');
  });

  it('turn TLS off over a certificate', () => {
    const values = valuesOf(['--secure-serving=false', '--cert-path', '/tls']);
    expect(values['extProc.tls.mode']).toBe('off');
  });

  it.each([
    [['--grpc-port', 'x'], '--grpc-port: expected a whole number, found "x"'],
    [['--drain-timeout', '30'], 'expected a duration such as'],
    [['--tracing=perhaps'], 'expected true or false'],
    [['--pool-name'], '--pool-name needs a value'],
    [['--config-file', 'a', '--config-text', 'b'], 'not both'],
    [['--lora-info-metric', 'x'], 'engineConfigs'],
    [['--model-server-metrics-https-insecure-skip-verify=false'], 'insecureSkipVerify: false'],
  ])('that are wrong say so: %j', (args, message) => {
    expect(() => readLlmDFlags(args)).toThrow(message);
  });

  it('are all in their own help', () => {
    const help = llmDFlagsHelp();
    for (const flag of ['--pool-name', '--cert-path', '--config-text', '-v '])
      expect(help).toContain(`  ${flag}`);
  });
});

describe("variables that llm-d's charts set", () => {
  it('are named with the reason why they have no effect, once each kind', () => {
    const environment = {
      POD_NAME: 'epp-1',
      NAMESPACE: 'models',
      OTEL_SERVICE_NAME: 'epp',
      OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4317',
      PREDICTION_SERVER_URL: 'http://localhost:8001',
      LATENCY_MAX_SAMPLE_SIZE: '1000',
      SSL_CERT_DIR: '/tls',
    };
    expect(environmentWarnings(environment)).toEqual([
      'OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SERVICE_NAME: no effect: no traces are written',
      'LATENCY_MAX_SAMPLE_SIZE, PREDICTION_SERVER_URL: no effect: there is no latency predictor',
      expect.stringMatching(/^SSL_CERT_DIR: no effect: NODE_EXTRA_CA_CERTS names/),
    ]);
    expect(environmentWarnings({ POD_NAME: 'epp-1', NAMESPACE: 'models' })).toEqual([]);
  });
});
