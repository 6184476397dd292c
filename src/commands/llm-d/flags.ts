import { join } from 'node:path';
import { byteSize, goBoolean, goDuration, goInteger, wrong } from './flag-values.ts';

/** What a flag of llm-d's picker asks for. */
export type Effect =
  | { readonly kind: 'set'; readonly path: readonly string[]; readonly value: unknown }
  | { readonly kind: 'option'; readonly name: OptionName; readonly value: string | number | boolean }
  | { readonly kind: 'gates'; readonly gates: readonly string[] }
  /** Accepted; a warning says why it changes nothing. */
  | { readonly kind: 'no effect'; readonly reason: string }
  | { readonly kind: 'nothing' };

export type OptionName =
  | 'configFile'
  | 'configText'
  | 'endpointSelector'
  | 'ignoresSubset'
  | 'poolName'
  | 'poolNamespace';

export interface LlmDFlag {
  readonly isBoolean?: boolean;
  /** For `--help-compat`. */
  readonly help: string;
  readonly effects: (text: string, flag: string) => readonly Effect[];
}

const nothing: readonly Effect[] = [{ kind: 'nothing' }];
const set = (path: string, value: unknown): Effect => ({ kind: 'set', path: path.split('.'), value });
const noEffect = (reason: string): readonly Effect[] => [{ kind: 'no effect', reason }];

const port = (section: string, help: string): LlmDFlag => ({
  help,
  effects: (text, flag) => [set(`${section}.port`, goInteger(flag, text))],
});
const option = (name: OptionName, help: string): LlmDFlag => ({
  help,
  effects: (text) => [{ kind: 'option', name, value: text }],
});
/** Done here always, whatever it says. */
const always = (help: string): LlmDFlag => ({ isBoolean: true, help, effects: () => nothing });
/** Told when asked for; not when switched off. */
const missing = (reason: string): LlmDFlag => ({
  isBoolean: true,
  help: `no effect: ${reason}`,
  effects: (text, flag) => (goBoolean(flag, text) ? noEffect(reason) : nothing),
});
const ignored = (reason: string): LlmDFlag => ({
  help: `no effect: ${reason}`,
  effects: () => noEffect(reason),
});
const rejected: LlmDFlag = {
  help: 'rejected, as by llm-d: use engineConfigs in the configuration',
  effects: (_text, flag) => {
    throw wrong(flag, 'engineConfigs of core-metrics-extractor in the configuration instead', flag);
  },
};
const plainMetrics = 'metrics are served over http';

/** The flags of llm-d's picker, by their kebab-case names. */
export const llmDFlags: Readonly<Record<string, LlmDFlag>> = {
  'config-file': option('configFile', "configuration: ours, or llm-d's EndpointPickerConfig"),
  'config-text': option('configText', 'the same as text'),
  'feature-gates': {
    help: 'flowControl=true,… over the featureGates of an EndpointPickerConfig',
    effects: (text) => [{ kind: 'gates', gates: text.split(',').filter((gate) => gate !== '') }],
  },
  'grpc-port': port('extProc', 'port of ext-proc gRPC'),
  'grpc-health-port': port('health', 'port of gRPC health'),
  'metrics-port': port('metrics', 'port of /metrics'),
  'pool-name': option('poolName', 'name of the pool in metrics; its pods are not watched yet'),
  'pool-namespace': option('poolNamespace', 'NAMESPACE by default'),
  'pool-group': { help: 'group of the InferencePool, which is not watched yet', effects: () => nothing },
  'endpoint-selector': option('endpointSelector', 'pods are not watched yet: name engines with --endpoints'),
  'endpoint-target-ports': ignored('ports are part of --endpoints'),
  'secure-serving': {
    isBoolean: true,
    help: 'false: ext-proc without TLS',
    effects: (text, flag) => (goBoolean(flag, text) ? nothing : [set('extProc.tls.mode', 'off')]),
  },
  'cert-path': {
    help: 'folder with tls.crt and tls.key; read again when they change',
    effects: (text) => [
      set('extProc.tls.mode', 'files'),
      set('extProc.tls.cert', join(text, 'tls.crt')),
      set('extProc.tls.key', join(text, 'tls.key')),
    ],
  },
  'enable-cert-reload': always('certificates are always read again when they change'),
  'health-checking': always('health is always served on the ext-proc port, too'),
  'drain-timeout': {
    help: 'how long to serve on after SIGTERM (30s)',
    effects: (text, flag) => [set('shutdown.drainDelayMs', goDuration(flag, text))],
  },
  'disable-endpoint-subset-filter': {
    isBoolean: true,
    help: 'pass over the subset that the data plane names',
    effects: (text, flag) => [{ kind: 'option', name: 'ignoresSubset', value: goBoolean(flag, text) }],
  },
  'refresh-metrics-interval': {
    help: "how often each engine's /metrics is read",
    effects: (text, flag) => [set('pool.scrape.intervalMs', Math.max(1, goDuration(flag, text)))],
  },
  'grpc-max-recv-msg-size': {
    help: 'longest request body, 10MiB',
    effects: (text, flag) => [set('gateway.maxBodyBytes', byteSize(flag, text))],
  },
  'zap-encoder': {
    help: 'json or console',
    effects: (text) => [set('log.format', text === 'console' ? 'pretty' : text)],
  },
  'zap-log-level': {
    help: 'debug, info, error or a number',
    effects: (text, flag) => [set('log.level', levelOf(text, flag))],
  },
  v: {
    help: '4 and above log the debug level',
    effects: (text, flag) => [set('log.level', levelOf(text, flag))],
  },
  'allow-experimental-plugins': always('no plugin needs it'),
  'enable-grpc-stream-metrics': always('streams are always counted'),
  'emit-endpoint-scores': {
    isBoolean: true,
    help: 'address and score of each candidate in the metadata of the pick',
    effects: (text, flag) => [set('extProc.scores', goBoolean(flag, text))],
  },
  'ha-enable-leader-election': missing('every replica serves; there is no leader'),
  'metrics-endpoint-auth': missing('metrics are served without authentication'),
  tracing: missing('no traces are written yet'),
  'enable-pprof': missing('use node --cpu-prof'),
  'zap-devel': missing('use --log-format'),
  'metrics-staleness-threshold': ignored('the age of every figure counts in the decision itself'),
  'plugin-state-staleness-threshold': ignored('a request counts until its stream ends'),
  'fairness-id-metric-label-limit': ignored('100 tenants have series of their own, further ones are `other`'),
  'refresh-prometheus-metrics-interval': ignored('metrics are always as of the moment they are read'),
  'grpc-max-send-msg-size': ignored('answers are sent in pieces'),
  'tls-min-version': ignored('TLS 1.2 and newer are served'),
  'tls-cipher-suites': ignored("Node's ciphers are served"),
  'metrics-cert-dir': ignored(plainMetrics),
  'metrics-client-ca-file': ignored(plainMetrics),
  'zap-stacktrace-level': ignored('errors are always logged with their stack'),
  'zap-time-encoding': ignored('times are always ISO 8601'),
  'model-server-metrics-scheme': {
    help: 'http or https, of engines that are scraped; certificates are not verified',
    effects: (text) => [
      set('pool.scrape.scheme', text),
      ...(text === 'https' ? [set('pool.scrape.verifyTls', false)] : []),
    ],
  },
  'model-server-metrics-path': {
    help: 'where engines are scraped',
    effects: (text) => [set('pool.scrape.path', text)],
  },
  'model-server-metrics-port': ignored('engines are scraped at their own port'),
  'model-server-metrics-https-insecure-skip-verify': {
    isBoolean: true,
    help: 'true; false belongs into the configuration',
    effects: (text, flag) => {
      if (goBoolean(flag, text)) return nothing;
      throw wrong(
        flag,
        'insecureSkipVerify: false of metrics-data-source in the configuration instead',
        text,
      );
    },
  },
  'total-queued-requests-metric': rejected,
  'total-running-requests-metric': rejected,
  'kv-cache-usage-percentage-metric': rejected,
  'lora-info-metric': rejected,
  'cache-info-metric': rejected,
};

/** llm-d logs at 2 by default, and what helps to find faults from 4. */
function levelOf(text: string, flag: string): string {
  if (/^\d+$/.test(text)) return Number(text) >= 4 ? 'debug' : 'info';
  const level = { debug: 'debug', info: 'info', warn: 'warn', error: 'error', panic: 'error' }[text];
  if (level === undefined) throw wrong(flag, 'debug, info, error or a number', text);
  return level;
}
