import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { parseEndpointList } from '../../src/pool/endpoint-list.ts';
import { type FileDiscovery, startFileDiscovery } from '../../src/pool/file-discovery.ts';
import { InferencePool } from '../../src/pool/inference-pool.ts';
import { applyStaticEndpoints } from '../../src/pool/static-discovery.ts';

const names = (pool: InferencePool) => pool.snapshot(0).map(({ name }) => name);
/** For what comes of a file; the tests go on as soon as it has come. */
const patience = { timeout: 20_000, interval: 5 };

/** Writes the file in one step, as Kubernetes and careful editors do. */
function replace(path: string, text: string): void {
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}

const createPool = () => new InferencePool({ clock: () => 0 });

describe('a list of endpoints', () => {
  it('may be YAML or JSON, with names and labels or without', () => {
    const yaml = `
endpoints:
  - address: 10.0.0.1:8000
  - { name: b, address: "[::1]:8000", labels: { zone: a, rank: 1, spot: true } }
`;
    const expected = [
      { name: '10.0.0.1:8000', address: '10.0.0.1:8000', labels: {} },
      { name: 'b', address: '[::1]:8000', labels: { zone: 'a', rank: '1', spot: 'true' } },
    ];
    expect(parseEndpointList(yaml, 'f')).toEqual(expected);
    expect(parseEndpointList(JSON.stringify({ endpoints: expected }), 'f')).toEqual(expected);
    expect(parseEndpointList('endpoints: []', 'f')).toEqual([]);
  });

  it("may be llm-d's, with ports apart and namespaces", () => {
    const text = `
endpoints:
  - { name: a, namespace: default, address: 10.0.0.1, port: "8000" }
  - { name: b, address: "::1", port: 8001 }
`;
    expect(parseEndpointList(text, 'f').map(({ address }) => address)).toEqual([
      '10.0.0.1:8000',
      '[::1]:8001',
    ]);
  });

  it.each([
    ['', /^f:1:1: expected a mapping with the key "endpoints"$/],
    ['- a', /^f:1:1: expected a mapping/],
    ['endpoint: []', /^f:1:1: unknown key "endpoint"; expected "endpoints"$/],
    ['endpoints: 3', /^f:1:12: expected "endpoints" to be a list$/],
    ['endpoints:\n  - 10.0.0.1:80', /^f:2:5: expected an endpoint as/],
    ['endpoints:\n  - name: a', /^f:2:5: address is missing$/],
    ['endpoints:\n  - address: 10.0.0.1', /^f:2:14: address "10.0.0.1" has no port; expected host:port/],
    [
      'endpoints:\n  - address: a:1\n    adress: b',
      /^f:3:5: unknown key "adress"; expected address, name, labels, port or namespace$/,
    ],
    ['endpoints:\n  - address: a:1\n  - address: a:1', /^f:3:5: the name "a:1" is used twice$/],
    ['endpoints:\n  - address: a:1\n    labels: [x]', /^f:3:13: expected "labels" to be a mapping/],
    ['endpoints:\n  - address: a:1\n    labels: { x: [1] }', /^f:3:18: expected label "x" to be a text$/],
    ['endpoints:\n  - address: "a', /^f:2:16: /],
    ['{"endpoints": [}', /^f:1:16: /],
  ])('%j is refused with the place and what is expected', (text, message) => {
    expect(() => parseEndpointList(text, 'f')).toThrow(message);
  });
});

describe('static discovery', () => {
  it('puts the endpoints into the pool', () => {
    const pool = createPool();
    applyStaticEndpoints(pool, [
      { name: 'a', address: '10.0.0.1:1' },
      { name: 'b', address: '10.0.0.2:1' },
    ]);
    expect(names(pool)).toEqual(['a', 'b']);
  });
  it.each([
    [
      [
        { name: 'a', address: '10.0.0.1:1' },
        { name: 'b', address: 'x' },
      ],
      /"x" has no port/,
    ],
    [
      [
        { name: 'a', address: '10.0.0.1:1' },
        { name: 'a', address: '10.0.0.2:1' },
      ],
      /name "a"/,
    ],
  ])('changes nothing if one of them is bad', (endpoints, message) => {
    const pool = createPool();
    expect(() => applyStaticEndpoints(pool, endpoints)).toThrow(message);
    expect(names(pool)).toEqual([]);
  });
});

describe('file discovery', () => {
  const folder = mkdtempSync(join(tmpdir(), 'pointsman-discovery-'));
  const open: FileDiscovery[] = [];
  let files = 0;
  afterEach(() => {
    for (const discovery of open.splice(0)) discovery.close();
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  async function follow(text: string) {
    const path = join(folder, `endpoints-${files++}.yaml`);
    writeFileSync(path, text);
    const pool = createPool();
    const problems: string[] = [];
    const onProblem = (problem: string) => problems.push(problem);
    open.push(await startFileDiscovery({ pool, path, debounceMs: 5, pollMs: 20, onProblem }));
    return { path, pool, problems };
  }

  it('loads the file, and again when it is written', async () => {
    const { path, pool } = await follow('endpoints: [{ address: "a:1" }, { address: "b:1" }]');
    pool.upsert({ name: 'from elsewhere', address: 'c:1' });
    expect(names(pool)).toEqual(['a:1', 'b:1', 'from elsewhere']);
    writeFileSync(path, 'endpoints: [{ address: "b:1" }, { address: "d:1" }]');
    await vi.waitFor(() => expect(names(pool).sort()).toEqual(['b:1', 'd:1', 'from elsewhere']), patience);
  });

  it('follows a file that is replaced', async () => {
    const { path, pool } = await follow('endpoints: [{ address: "a:1" }]');
    replace(path, 'endpoints: [{ address: "b:1" }]');
    await vi.waitFor(() => expect(names(pool)).toEqual(['b:1']), patience);
  });

  it('keeps the last good endpoints, and tells each problem once', async () => {
    const { path, pool, problems } = await follow('endpoints: [{ address: "a:1" }]');
    writeFileSync(path, 'endpoints: [{ address: "b" }]');
    const message = /:1:24: address "b" has no port.*; the endpoints stay as they were$/;
    await vi.waitFor(() => expect(problems.at(-1)).toMatch(message), patience);
    expect(names(pool)).toEqual(['a:1']);
    replace(path, 'endpoints: [{ address: "b" }] # still bad');
    replace(path, 'endpoints: [{ address: "b:2" }]');
    await vi.waitFor(() => expect(names(pool)).toEqual(['b:2']), patience);
    expect(problems.filter((problem) => message.test(problem))).toHaveLength(1);
  });

  it('keeps the endpoints when the file is gone, and loads it when it is back', async () => {
    const { path, pool, problems } = await follow('endpoints: [{ address: "a:1" }]');
    rmSync(path);
    await vi.waitFor(() => expect(problems[0]).toMatch(/cannot be read/), patience);
    expect(names(pool)).toEqual(['a:1']);
    writeFileSync(path, 'endpoints: [{ address: "b:1" }]');
    await vi.waitFor(() => expect(names(pool)).toEqual(['b:1']), patience);
  });

  it('refuses to start with a bad file, or with none', async () => {
    await expect(follow('endpoints: 1')).rejects.toThrow(/:1:12: expected "endpoints" to be a list/);
    const options = { pool: createPool(), path: join(folder, 'missing.yaml'), onProblem: () => undefined };
    await expect(startFileDiscovery(options)).rejects.toThrow(/missing.yaml: cannot be read/);
  });
});
