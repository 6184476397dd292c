import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { packageFolder } from '../../src/commands/package-folder.ts';
import { type InstalledEnvoy, minorOf } from './installed-envoys.ts';

export type Bootstrap = Record<string, unknown>;
export type BootstrapName = 'standalone' | 'override-host';

/** The first version that knows `selected_host_key`: only from it on are we told who served. */
export const firstToReportServed = 38;

/** A bootstrap of config/envoy, as it must be for this version. */
export function bootstrapFor(name: BootstrapName, envoy: InstalledEnvoy): Bootstrap {
  const text = readFileSync(join(packageFolder(), 'config', 'envoy', `${name}.yaml`), 'utf8');
  const bootstrap = parse(text) as Bootstrap;
  const minor = minorOf(envoy);
  if (minor < firstToReportServed) remove(bootstrap, 'selected_host_key');
  if (minor <= 36) bootstrap['layered_runtime'] = showsLocalReplies;
  return bootstrap;
}

/** As the comment in config/envoy says: up to 1.36 Envoy hides its own replies from external processing. */
const showsLocalReplies = {
  layers: [
    { name: 'static', static_layer: { 'envoy.reloadable_features.skip_ext_proc_on_local_reply': false } },
  ],
};

/** Sets both body modes of the ext_proc filter. */
export function setBodyMode(bootstrap: Bootstrap, mode: string): void {
  visit(bootstrap, (object) => {
    if (!('request_body_mode' in object)) return;
    object['request_body_mode'] = mode;
    object['response_body_mode'] = mode;
    // Only full duplex demands trailers.
    if (mode === 'FULL_DUPLEX_STREAMED') return;
    object['request_trailer_mode'] = 'SKIP';
    object['response_trailer_mode'] = 'SKIP';
  });
}

/** The HTTP connection manager's configuration, for tests that add filters. */
export function connectionManager(
  bootstrap: Bootstrap,
): Record<string, unknown> & { http_filters: object[] } {
  const { listeners } = bootstrap['static_resources'] as {
    listeners: { filter_chains: { filters: { typed_config: object }[] }[] }[];
  };
  return listeners[0]!.filter_chains[0]!.filters[0]!.typed_config as ReturnType<typeof connectionManager>;
}

export interface Cluster {
  readonly name: string;
  readonly health_checks?: Record<string, unknown>[];
  readonly load_assignment: { readonly endpoints: { lb_endpoints: object[] }[] };
}

/** Clusters can be changed in place. */
export function clusterOf(bootstrap: Bootstrap, name: string): Cluster {
  const { clusters } = bootstrap['static_resources'] as { clusters: Cluster[] };
  const cluster = clusters.find((each) => each.name === name);
  if (cluster === undefined)
    throw new Error(`Expected the cluster ${name}, found ${clusters.length} others.`);
  return cluster;
}

/** Gives a static cluster these ports of 127.0.0.1 as its endpoints. */
export function setEndpoints(cluster: Cluster, ports: readonly number[]): void {
  cluster.load_assignment.endpoints[0]!.lb_endpoints = ports.map((port) => ({
    endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } },
  }));
}

export function replacePorts(bootstrap: Bootstrap, ports: ReadonlyMap<number, number>): void {
  visit(bootstrap, (object) => {
    const port = object['port_value'];
    if (typeof port === 'number') object['port_value'] = ports.get(port) ?? port;
  });
}

function remove(bootstrap: Bootstrap, key: string): void {
  visit(bootstrap, (object) => {
    delete object[key];
  });
}

function visit(node: unknown, change: (object: Record<string, unknown>) => void): void {
  if (typeof node !== 'object' || node === null) return;
  change(node as Record<string, unknown>);
  for (const value of Object.values(node)) visit(value, change);
}
