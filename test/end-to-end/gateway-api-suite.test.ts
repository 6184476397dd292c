import { createServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished } from 'vitest';
import {
  type Bootstrap,
  type Cluster,
  clusterOf,
  connectionManager,
  firstToReportServed,
  setBodyMode,
  setEndpoints,
} from '../../bench/envoy/bootstrap.ts';
import { type InstalledEnvoy, minorOf } from '../../bench/envoy/installed-envoys.ts';
import { type EnvoyOptions, startEnvoy } from '../../bench/envoy/run-envoy.ts';
import type { Echo } from '../../src/conformance/echo-backends.ts';
import { openBackends, servePicker } from '../conformance-suite/served-picker.ts';
import { chat, post, startTopology, subsetFrom } from '../ext-proc/envoy-topology.ts';
import { describeWithEnvoy } from '../support/with-envoy.ts';

/**
 * The cases of the Gateway API Inference Extension's conformance suite that need no cluster, by their names, each
 * a hundred times: real Envoy, our picker with its pool, scrapes and default profile, echo engines on loopback
 * addresses that stand in for pods. The header test-epp-endpoint-selection reaches the picker as a subset hint.
 *
 * The others judge what a gateway controller writes into Kubernetes objects: InferencePoolAccepted,
 * InferencePoolResolvedRefsCondition, InferencePoolMissingEPPRef, InferencePoolHTTPRoutePortValidation and
 * HTTPRouteInvalidInferencePoolRef.
 */

const times = 100;
const concurrent = 10;
const selection = 'test-epp-endpoint-selection';

interface Pool {
  readonly endpoints: readonly string[];
  readonly extProcPort: number;
  readonly stopPicker: () => Promise<void>;
}

async function startPool(ports = 1): Promise<Pool> {
  const { backends, endpoints } = await openBackends(ports);
  onTestFinished(() => backends.close());
  const picker = await servePicker({ endpoints, transport: 'fast', isEncrypted: true });
  onTestFinished(() => picker.close(0));
  return { endpoints, extProcPort: picker.port, stopPicker: () => picker.close(0) };
}

interface Answer {
  readonly status: number;
  readonly address: string | undefined;
}

/** Envoy in front of the pools; `ask` sends one request through it. */
async function startGateway(envoy: InstalledEnvoy, options: Omit<EnvoyOptions, 'envoy'>) {
  const running = await startEnvoy({ envoy, ...options });
  onTestFinished(() => running.close());
  return async (headers: Record<string, string> = {}, path = '/v1/chat/completions'): Promise<Answer> => {
    const isGet = path !== '/v1/chat/completions';
    const response = await fetch(`${running.url}${path}`, {
      method: isGet ? 'GET' : 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      ...(isGet
        ? {}
        : { body: JSON.stringify({ model: 'conformance', messages: [{ role: 'user', content: 'x' }] }) }),
    });
    const text = await response.text();
    const echo = text.includes('"echo"') ? (JSON.parse(text) as { echo: Echo }).echo : undefined;
    return { status: response.status, address: echo?.address };
  };
}

type Ask = Awaited<ReturnType<typeof startGateway>>;

/** Until the pickers have read their engines. */
async function ready(ask: Ask, ...requests: readonly Parameters<Ask>[]): Promise<void> {
  for (const request of requests)
    await expect.poll(async () => (await ask(...request)).status, { timeout: 10_000 }).toBe(200);
}

/** A hundred answers, ten at a time; all must be 200. */
async function hundred(ask: (turn: number) => Promise<Answer>): Promise<readonly (string | undefined)[]> {
  const addresses: (string | undefined)[] = [];
  let turn = 0;
  const client = async () => {
    while (turn < times) {
      const { status, address } = await ask(turn++);
      expect(status).toBe(200);
      addresses.push(address);
    }
  };
  await Promise.all(Array.from({ length: concurrent }, client));
  return addresses;
}

const selecting = (bootstrap: Bootstrap) => {
  connectionManager(bootstrap).http_filters.unshift(subsetFrom(selection));
};

/** A second pool's picker, beside the one that the bootstrap has. */
function addPicker(bootstrap: Bootstrap, port: number): void {
  const { clusters } = bootstrap['static_resources'] as { clusters: Cluster[] };
  const second = { ...structuredClone(clusterOf(bootstrap, 'endpoint-picker')), name: 'second-picker' };
  setEndpoints(second, [port]);
  clusters.push(second);
}

/** What makes a route, or a weighted cluster of it, ask the second picker. */
const asksSecond = {
  'envoy.filters.http.ext_proc': {
    '@type': 'type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute',
    overrides: {
      grpc_service: { envoy_grpc: { cluster_name: 'second-picker', authority: 'localhost:9002' } },
    },
  },
};
const noTimeout = { timeout: '0s' };

function setRoutes(bootstrap: Bootstrap, routes: readonly object[]): void {
  const { route_config } = connectionManager(bootstrap) as unknown as {
    route_config: { virtual_hosts: { routes: readonly object[] }[] };
  };
  route_config.virtual_hosts[0]!.routes = routes;
}

describeWithEnvoy('Gateway API Inference Extension conformance', (test) => {
  /** A pool whose gateway passes the selection on. */
  const selectable = async (envoy: InstalledEnvoy, ports: number) => {
    const { endpoints, extProcPort } = await startPool(ports);
    const ask = await startGateway(envoy, {
      config: 'standalone',
      extProcPorts: [extProcPort],
      adjust: selecting,
    });
    await ready(ask, [{}]);
    const servedBy = async (selected: readonly string[]) =>
      hundred(() => ask({ [selection]: selected.join(',') }));
    return { endpoints, servedBy };
  };

  test('GatewayFollowingEPPRouting: 1, 2 and 3 selected pods serve, and none else', async (envoy) => {
    const { endpoints, servedBy } = await selectable(envoy, 1);
    const hosts = endpoints.map((address) => address.split(':')[0]!);
    for (const count of [1, 2, 3]) {
      const selected = hosts.slice(0, count);
      const served = (await servedBy(selected)).map((address) => address?.split(':')[0]);
      expect([...new Set(served)].sort()).toEqual(selected);
    }
  });

  test('GatewayFollowingEPPRoutingWithDataParallelism: the selected ports of a pod serve, and none else', async (envoy) => {
    const { endpoints, servedBy } = await selectable(envoy, 3);
    const [first, second, third, other] = endpoints as [string, string, string, string];
    for (const selected of [[second], [first, third], [first, second, other]])
      expect([...new Set(await servedBy(selected))].sort()).toEqual(selected);
  });

  test('HTTPRouteMultipleRulesDifferentPools, HTTPRouteMultipleGatewaysDifferentPools: each rule reaches its pool', async (envoy) => {
    const [first, second] = [await startPool(), await startPool()];
    const ask = await startGateway(envoy, {
      config: 'standalone',
      extProcPorts: [first.extProcPort],
      adjust: (bootstrap) => {
        addPicker(bootstrap, second.extProcPort);
        const route = { cluster: 'picked', ...noTimeout };
        setRoutes(bootstrap, [
          { match: { prefix: '/second' }, route, typed_per_filter_config: asksSecond },
          { match: { prefix: '/' }, route },
        ]);
      },
    });
    await ready(ask, [{}, '/first'], [{}, '/second']);
    const served = await hundred((turn) => ask({}, turn % 2 === 0 ? '/first' : '/second'));
    const counts = [first, second].map(
      ({ endpoints }) => served.filter((address) => endpoints.includes(address ?? '')).length,
    );
    expect(counts).toEqual([times / 2, times / 2]);
    for (let round = 0; round < concurrent; round++) {
      expect(first.endpoints).toContain((await ask({}, '/first')).address);
      expect(second.endpoints).toContain((await ask({}, '/second')).address);
    }
  });

  test('GatewayWeightedAcrossTwoInferencePools: 70 to 30, within 4.5 sigma', async (envoy) => {
    const [first, second] = [await startPool(), await startPool()];
    const ask = await startGateway(envoy, {
      config: 'standalone',
      extProcPorts: [first.extProcPort],
      adjust: (bootstrap) => {
        addPicker(bootstrap, second.extProcPort);
        const clusters = [
          { name: 'picked', weight: 70 },
          { name: 'picked', weight: 30, typed_per_filter_config: asksSecond },
        ];
        setRoutes(bootstrap, [
          { match: { prefix: '/' }, route: { weighted_clusters: { clusters }, ...noTimeout } },
        ]);
      },
    });
    // Both pickers have been asked once the second pool has answered too.
    await expect
      .poll(async () => second.endpoints.includes((await ask()).address ?? ''), {
        timeout: 10_000,
        interval: 1,
      })
      .toBe(true);
    await ready(ask, ...Array.from({ length: concurrent }, (): Parameters<Ask> => [{}]));
    const served = [...(await hundred(() => ask())), ...(await hundred(() => ask()))];
    const share = served.filter((address) => first.endpoints.includes(address ?? '')).length / served.length;
    const sigma = Math.sqrt((0.7 * 0.3) / served.length);
    expect(Math.abs(share - 0.7)).toBeLessThan(Math.max(0.1, 4.5 * sigma));
    expect(served.every((address) => [...first.endpoints, ...second.endpoints].includes(address ?? ''))).toBe(
      true,
    );
  });

  test(
    'GatewayDestinationEndpointServed: who served is reported to the picker',
    async (envoy) => {
      const topology = await startTopology({ envoy, config: 'override-host', fallbacks: 1 });
      onTestFinished(() => topology.close());
      const [gone, alive] = topology.engines;
      await gone!.close();
      for (let turn = 0; turn < times; turn++) {
        const { status, echo } = await post(topology, chat(`turn ${turn}`));
        expect([status, echo.engine]).toEqual([200, alive!.address]);
      }
      // Every second pick names the engine that is gone first.
      const reports = topology.picker.picks.map(({ served }) => served);
      expect(reports).toEqual(
        Array.from({ length: times }, (_, turn) => (turn % 2 === 0 ? [[alive!.address, gone!.address]] : [])),
      );
    },
    (envoy) =>
      minorOf(envoy) < firstToReportServed
        ? `Envoy ${envoy.version} has no selected_host_key, so it cannot tell who served`
        : undefined,
  );

  test('InferencePoolAppProtocol: engines that speak h2c, and engines that speak HTTP/1.1', async (envoy) => {
    const engine = createServer((_request, response) => response.end('{"echo":{"address":"h2c"}}'));
    await new Promise<void>((resolve) => engine.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void engine.close());
    const { port } = engine.address() as AddressInfo;
    const topology = await startTopology({
      envoy,
      adjust: (bootstrap) => {
        const picked = clusterOf(bootstrap, 'picked') as object;
        Object.assign(picked, {
          typed_extension_protocol_options: {
            'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
              '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
              explicit_http_config: { http2_protocol_options: {} },
            },
          },
        });
      },
      addresses: [`127.0.0.1:${port}`],
    });
    onTestFinished(() => topology.close());
    for (let turn = 0; turn < times; turn++) {
      const { status, text } = await post(topology, chat(`turn ${turn}`));
      expect([status, text]).toEqual([200, '{"echo":{"address":"h2c"}}']);
    }
    const { endpoints, extProcPort } = await startPool();
    const ask = await startGateway(envoy, { config: 'standalone', extProcPorts: [extProcPort] });
    await ready(ask, [{}]);
    for (const address of await hundred(() => ask())) expect(endpoints).toContain(address);
  });

  // In full duplex a request fails open only as long as nothing of its body was sent to the picker (Envoy PR 41276).
  for (const [mode, path] of [
    ['FULL_DUPLEX_STREAMED', '/v1/models'],
    ['BUFFERED', '/v1/chat/completions'],
  ] as const)
    test(`EppUnAvailableFailOpen: served when the picker has gone: ${path} in ${mode}`, async (envoy) => {
      const pool = await startPool();
      const ask = await startGateway(envoy, {
        config: 'override-host',
        extProcPorts: [pool.extProcPort],
        adjust: (bootstrap) => {
          setBodyMode(bootstrap, mode);
          setAddresses(clusterOf(bootstrap, 'engines'), pool.endpoints);
          const [extProc] = connectionManager(bootstrap).http_filters as { typed_config: object }[];
          Object.assign(extProc!.typed_config, { failure_mode_allow: true });
        },
      });
      await ready(ask, [{}, path]);
      await pool.stopPicker();
      for (const address of await hundred(() => ask({}, path))) expect(pool.endpoints).toContain(address);
    });

  test('InferencePoolInvalidEPPService: without a picker and failClose, requests are 5xx', async (envoy) => {
    const pool = await startPool();
    const ask = await startGateway(envoy, { config: 'standalone', extProcPorts: [pool.extProcPort] });
    await ready(ask, [{}]);
    await pool.stopPicker();
    for (let turn = 0; turn < times; turn++) {
      const { status, address } = await ask();
      expect(status).toBeGreaterThanOrEqual(500);
      expect(address).toBeUndefined();
    }
  });
});

function setAddresses(cluster: Cluster, addresses: readonly string[]): void {
  cluster.load_assignment.endpoints[0]!.lb_endpoints = addresses.map((text) => {
    const [address, port] = text.split(':');
    return { endpoint: { address: { socket_address: { address, port_value: Number(port) } } } };
  });
}
