import { resolve } from 'node:path';
import { performance } from 'node:perf_hooks';
import {
  apiKeysIn,
  type Configuration,
  type LoadedConfiguration,
  type LoadedProfile,
} from '../configuration/index.ts';
import {
  createEndpointPicker,
  type InspectableEndpointPicker,
  type Objective,
  type RequestRules,
  type RuleSettings,
  requestRules,
} from '../endpoint-picker/index.ts';
import {
  applyStaticEndpoints,
  type EndpointSpec,
  InferencePool,
  type PoolListener,
  startFileDiscovery,
  startScraper,
} from '../pool/index.ts';
import { ApproximateIndex } from '../prefix-index/approximate-index.ts';
import { engineMetricsScanner } from '../protocol/engine-metrics.ts';
import { createProfile } from '../scheduling/profile.ts';
import { simdFault } from '../simd/index.ts';
import {
  createMetrics,
  type DecisionLines,
  type Log,
  type MetricsText,
  observers,
  requestLog,
  type StreamMetrics,
} from '../telemetry/index.ts';
import { startDecisionRecording } from './decision-recording.ts';
import { CommandError, exitCodes } from './exit-codes.ts';
import { flowOf } from './flow-settings.ts';
import { packageVersion } from './package-folder.ts';

/** The decision service with its pool and telemetry: what every door of the process shares. */
export interface PickerService {
  readonly picker: InspectableEndpointPicker;
  readonly pool: InferencePool;
  readonly metricsText: () => Promise<MetricsText>;
  readonly decisions: DecisionLines;
  readonly streams: StreamMetrics;
  /** Counts a request that a door refused before the picker was asked. */
  readonly refused: (code: string) => void;
  /** Of the last reload. */
  readonly rules: () => RequestRules;
  /** What these are made of. */
  readonly ruleSettings: () => RuleSettings;
  /** False from the moment that the process wants to stop. */
  readonly isServing: () => boolean;
  /** Calls back after each reload, and when `isServing` has changed. */
  readonly onChange: (changed: () => void) => void;
  /**
   * Takes the profile, the rules of requests and flow control from a new configuration; the next decision uses
   * them.
   */
  reload(loaded: LoadedConfiguration): void;
  /** Not ready from now on; requests are served all the same. */
  drain(): void;
  /** New requests, and those that wait, are refused from now on; those in progress go on. */
  shutDown(): void;
  /** Stops reading the engines. */
  close(): Promise<void>;
}

export interface PickerServiceOptions {
  readonly loaded: LoadedConfiguration;
  /** Beside those of the configuration. */
  readonly endpoints?: readonly EndpointSpec[];
  readonly log: Log;
  /** Labels of the pool's metrics. */
  readonly poolName?: string | undefined;
  readonly namespace?: string | undefined;
}

export async function startPickerService(options: PickerServiceOptions): Promise<PickerService> {
  const { loaded, log, endpoints = [] } = options;
  const { configuration } = loaded;
  // Also loads it, so that no request waits for that.
  const fault = simdFault();
  if (fault !== undefined)
    log.warn({ reason: fault }, 'no SIMD code: large bodies are read in JavaScript, which takes longer');
  const clock = () => performance.now();
  const prefixIndex = new ApproximateIndex({
    ...configuration.prefixIndex,
    timer: { clock, onLookup: (durationMs) => metrics.onLookup(durationMs) },
  });
  const pool = new InferencePool({ clock, prefixIndex });
  pool.subscribe(poolLog(log));
  const metrics = createMetrics({
    snapshot: () => pool.snapshot(clock()),
    version: packageVersion(),
    hasLegacyNames: configuration.metrics.legacyNames,
    poolName: options.poolName ?? 'default',
    namespace: options.namespace ?? '',
    fullEndpoint: configuration.metrics.fullEndpoint,
    openRequests: () => picker.openRequests(),
    prefixIndex: () => ({ size: prefixIndex.stats().residencies, ...prefixIndex.counts() }),
    waiting: () => (flow.isEnabled ? picker.waiting() : undefined),
  });
  pool.subscribe(metrics.pool);
  let profile = profileOf(loaded.profile);
  let ruleSettings = ruleSettingsOf(configuration);
  let rules = requestRules(ruleSettings, Math.random);
  let flow = flowOf(configuration);
  let isServing = true;
  const followers: (() => void)[] = [];
  const changed = (): void => {
    for (const follower of followers) follower();
  };
  const recording = await startDecisionRecording({ loaded, log, decisions: () => picker.decisions() });
  const picker = createEndpointPicker({
    pool,
    profile: () => profile,
    prefixIndex,
    clock,
    random: Math.random,
    observer: observers(metrics.observer, requestLog(log)),
    keptRecords: configuration.decisions.kept,
    onDecision: recording.onDecision,
    flowControl: {
      limits: () => flow.limits,
      room: () => (flow.isEnabled ? flow.room : undefined),
      schedule: afterDelay,
    },
  });

  applyStaticEndpoints(pool, [...endpoints, ...configuration.pool.endpoints.map(specOf)]);
  const discovery = await discoverFromFile(loaded, pool, log);
  const scan = engineMetricsScanner(configuration.pool.engineMetrics);
  const { apiKeyEnv, ...scrape } = configuration.pool.scrape;
  const headers = apiKeyEnv === undefined ? {} : { authorization: `Bearer ${apiKeysIn(apiKeyEnv)[0]}` };
  const scraper = startScraper({ pool, clock, random: Math.random, scan, headers, ...scrape });

  return {
    picker,
    pool,
    metricsText: metrics.text,
    decisions: recording.lines,
    streams: metrics.streams,
    refused: metrics.refused,
    rules: () => rules,
    ruleSettings: () => ruleSettings,
    onChange: (follower) => void followers.push(follower),
    isServing: () => isServing,
    reload: (next) => {
      profile = profileOf(next.profile);
      ruleSettings = ruleSettingsOf(next.configuration);
      rules = requestRules(ruleSettings, Math.random);
      flow = flowOf(next.configuration);
      recording.reload(next.configuration);
      changed();
    },
    drain: () => {
      isServing = false;
      changed();
    },
    shutDown: () => picker.shutDown(),
    close: async () => {
      discovery?.close();
      await scraper.close();
      await recording.close();
    },
  };
}

type ConfiguredEndpoint = LoadedConfiguration['configuration']['pool']['endpoints'][number];

function specOf({ name, address, labels }: ConfiguredEndpoint): EndpointSpec {
  return { name: name ?? address, address, labels };
}

async function discoverFromFile(
  { configuration, folder }: LoadedConfiguration,
  pool: InferencePool,
  log: Log,
) {
  const { file } = configuration.pool;
  if (file === undefined) return undefined;
  try {
    return await startFileDiscovery({
      pool,
      path: resolve(folder, file),
      onProblem: (reason) => log.error({ reason }, 'endpoints not reloaded'),
      onLoaded: (endpoints) => log.info({ file, endpoints }, 'endpoints loaded'),
    });
  } catch (error) {
    throw new CommandError((error as Error).message, exitCodes.usage);
  }
}

function profileOf(profile: LoadedProfile) {
  return createProfile({ name: 'default', ...profile });
}

function ruleSettingsOf({ objectives, flowControl, ...rest }: Configuration): RuleSettings {
  const named = Object.entries(objectives).map(([name, value]) => [name, objectiveOf(value)] as const);
  return {
    objectives: Object.fromEntries(named),
    modelRewrites: rest.modelRewrites,
    tenantHeader: flowControl.tenantHeader,
  };
}

function objectiveOf(value: Configuration['objectives'][string]): Objective {
  if (typeof value === 'number') return { priority: value };
  const { priority, ttftMs, tpotMs, strict } = value;
  return { priority, slo: { ttftMs, tpotMs, isStrict: strict } };
}

function afterDelay(delayMs: number, callback: () => void): () => void {
  const timer = setTimeout(callback, Math.min(delayMs, longestTimerMs));
  return () => clearTimeout(timer);
}

/** `setTimeout` takes no more than 31 bits; a timer that is early is set again. */
const longestTimerMs = 2 ** 31 - 1;

function poolLog(log: Log): PoolListener {
  return {
    added: ({ name, address }) => log.debug({ endpoint: name, address }, 'endpoint added'),
    removed: ({ name, address }) => log.info({ endpoint: name, address }, 'endpoint removed'),
    readinessChanged: ({ name }, reason) => {
      if (reason === undefined) log.info({ endpoint: name }, 'endpoint ready');
      else log.warn({ endpoint: name, reason }, 'endpoint not ready');
    },
    ejected: ({ name }, { cause, reason, backOffMs }) =>
      log.warn({ endpoint: name, cause, reason, backOffMs }, 'endpoint ejected'),
    restored: ({ name }, { cause }) => log.info({ endpoint: name, cause }, 'endpoint restored'),
  };
}
