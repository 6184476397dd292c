import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { apiKeysIn, type LoadedConfiguration } from '../configuration/index.ts';
import {
  CertificateError,
  serveExtProc,
  serveExtProcByWorkers,
  serveHealth,
  type TlsOptions,
} from '../ext-proc/index.ts';
import { serveGateway } from '../gateway/index.ts';
import type { RunningServer } from '../protocol/running-server.ts';
import { type Log, serveMetrics } from '../telemetry/index.ts';
import type { Door } from './doors.ts';
import { CommandError, exitCodes } from './exit-codes.ts';
import type { PickerService } from './picker-service.ts';

export type Servers = ReadonlyMap<Door, RunningServer>;

export interface ServersOptions {
  readonly doors: readonly Door[];
  readonly loaded: LoadedConfiguration;
  readonly service: PickerService;
  readonly log: Log;
}

/** Opens the doors; if one cannot be opened, closes the others again, and the service that they share. */
export async function startServers(options: ServersOptions): Promise<Servers> {
  const servers = new Map<Door, RunningServer>();
  try {
    for (const door of options.doors) servers.set(door, await open(door, options));
    return servers;
  } catch (error) {
    await stopServers(servers, 0);
    // Its scrapes would keep the process alive.
    await options.service.close();
    const isConfigured = error instanceof CertificateError;
    const message = error instanceof Error ? error.message : String(error);
    throw new CommandError(message, isConfigured ? exitCodes.usage : exitCodes.failure);
  }
}

/** Each finishes what it has in progress, until the deadline. */
export async function stopServers(servers: Servers, deadlineMs: number): Promise<void> {
  await Promise.all([...servers.values()].map((server) => server.close(deadlineMs)));
}

function open(door: Door, { loaded, service, log }: ServersOptions): Promise<RunningServer> {
  const { configuration, folder } = loaded;
  const { picker, metricsText, isServing, rules } = service;
  const { blockTokens, maxPromptTokens: maxPrefixTokens } = configuration.prefixIndex;
  switch (door) {
    case 'gateway': {
      const { host, port, maxBodyBytes, maxConcurrentRequests, timeouts, explain, apiKeysEnv } =
        configuration.gateway;
      return serveGateway({
        host,
        port,
        picker,
        log,
        limits: { maxBodyBytes, maxConcurrentRequests, blockTokens, maxPrefixTokens },
        timeouts,
        apiKeys: apiKeysEnv === undefined ? [] : apiKeysIn(apiKeysEnv),
        rules,
        explains: explain,
        onRefused: service.refused,
        metricsText,
        isDraining: () => !isServing(),
      });
    }
    case 'extProc': {
      const {
        host,
        port,
        fallbacks,
        transport,
        explain: explains,
        scores: tellsScores,
      } = configuration.extProc;
      const settings = {
        tls: tlsOptions(configuration.extProc.tls, folder),
        limits: { maxBodyBytes: configuration.gateway.maxBodyBytes, blockTokens, maxPrefixTokens },
        explains,
        tellsScores,
        fallbacks,
        transport,
      };
      const { streams } = service;
      const workers = workerCount(configuration.extProc.workers, availableParallelism());
      if (workers === 0)
        return serveExtProc({ host, port, picker, log, streams, rules, isServing, ...settings });
      return serveExtProcByWorkers({
        host,
        port,
        workers,
        picker,
        log,
        streams,
        settings: {
          ...settings,
          log: configuration.log,
          orphanDeadlineMs: configuration.shutdown.deadlineMs,
        },
        state: () => ({ rules: service.ruleSettings(), isServing: isServing() }),
        onStateChange: service.onChange,
      });
    }
    case 'health':
      return serveHealth({
        ...configuration.health,
        // Also without endpoints: then it is the picker that tells clients so, with a clear error.
        isReady: isServing,
        isAlive: () => true,
      });
    case 'metrics':
      return serveMetrics({
        ...configuration.metrics,
        metricsText,
        isReady: () => isServing() && picker.isReady(),
        decisions: service.decisions,
      });
  }
}

/** The picker's own process needs a core, and a few workers keep it busy. */
function workerCount(workers: number | 'auto', cores: number): number {
  if (workers !== 'auto') return workers;
  return cores <= 2 ? 0 : Math.min(4, cores - 1);
}

function tlsOptions(tls: LoadedConfiguration['configuration']['extProc']['tls'], folder: string): TlsOptions {
  const { mode, cert, key } = tls;
  if (mode !== 'files') return { mode };
  // The schema demands both for this mode.
  return { mode, cert: resolve(folder, cert!), key: resolve(folder, key!) };
}
