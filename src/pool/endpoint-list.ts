import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import { parseAddress } from '../protocol/address.ts';
import type { EndpointSpec } from './endpoint-state.ts';
import type { InferencePool } from './inference-pool.ts';

/** Where in a file something is wrong. */
class ListError extends Error {
  readonly offset: number;

  constructor(node: unknown, message: string) {
    super(message);
    this.offset = (node as Node | null | undefined)?.range?.[0] ?? 0;
  }
}

/**
 * Parses `endpoints: [{ name?, address, labels? }]`, YAML or JSON. The name is the address unless given.
 * Throws an Error `path:line:column: what is wrong, what is expected`.
 */
export function parseEndpointList(text: string, path: string): readonly EndpointSpec[] {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const syntaxError = document.errors[0];
  const fail = (offset: number, message: string): Error => {
    const { line, col } = lines.linePos(offset);
    return new Error(`${path}:${line}:${col}: ${message}`);
  };
  if (syntaxError !== undefined) throw fail(syntaxError.pos[0], syntaxError.message);
  try {
    return readList(document.contents);
  } catch (error) {
    if (error instanceof ListError) throw fail(error.offset, error.message);
    throw error;
  }
}

/** Checks addresses and that names are unique. Throws an Error that names the endpoint. */
export function checkEndpoints(specs: readonly EndpointSpec[]): void {
  const names = new Set<string>();
  for (const { name, address } of specs) {
    parseAddress(address);
    if (names.has(name)) throw new Error(`two endpoints have the name "${name}"; names must differ`);
    names.add(name);
  }
}

/** Makes one source's endpoints those of the pool; endpoints of other sources are left alone. */
export class EndpointSource {
  readonly #pool: InferencePool;
  #names: readonly string[] = [];

  constructor({ pool }: { readonly pool: InferencePool }) {
    this.#pool = pool;
  }

  apply(specs: readonly EndpointSpec[]): void {
    const wanted = new Set(specs.map(({ name }) => name));
    for (const name of this.#names) if (!wanted.has(name)) this.#pool.remove(name);
    for (const spec of specs) this.#pool.upsert(spec);
    this.#names = [...wanted];
  }
}

function readList(root: unknown): readonly EndpointSpec[] {
  if (!isMap(root)) throw new ListError(root, 'expected a mapping with the key "endpoints"');
  for (const { key } of root.items) {
    if (String(key) !== 'endpoints') throw new ListError(key, `unknown key "${key}"; expected "endpoints"`);
  }
  const list = root.get('endpoints', true) as unknown;
  if (!isSeq(list)) throw new ListError(list ?? root, 'expected "endpoints" to be a list');
  const names = new Set<string>();
  return list.items.map((item) => {
    const spec = readEndpoint(item);
    if (names.has(spec.name)) throw new ListError(item, `the name "${spec.name}" is used twice`);
    names.add(spec.name);
    return spec;
  });
}

function readEndpoint(item: unknown): EndpointSpec {
  if (!isMap(item)) throw new ListError(item, 'expected an endpoint as { address, name?, labels? }');
  for (const { key } of item.items) {
    if (!['name', 'address', 'labels', 'port', 'namespace'].includes(String(key))) {
      throw new ListError(key, `unknown key "${key}"; expected address, name, labels, port or namespace`);
    }
  }
  const addressNode = item.get('address', true);
  const host = readText(addressNode, item, 'address');
  const address = item.has('port') ? withPort(host, readText(item.get('port', true), item, 'port')) : host;
  try {
    parseAddress(address);
  } catch (error) {
    throw new ListError(addressNode, (error as Error).message);
  }
  const name = item.has('name') ? readText(item.get('name', true), item, 'name') : address;
  return { name, address, labels: readLabels(item.get('labels', true) as unknown) };
}

/** llm-d's file discovery writes the port apart from the address, and a namespace, which has no meaning here. */
function withPort(host: string, port: string): string {
  return host.includes(':') && !host.startsWith('[') ? `[${host}]:${port}` : `${host}:${port}`;
}

function readLabels(node: unknown): Readonly<Record<string, string>> {
  if (node === undefined || (isScalar(node) && node.value === null)) return {};
  if (!isMap(node)) throw new ListError(node, 'expected "labels" to be a mapping of names to texts');
  return Object.fromEntries(
    node.items.map(({ key, value }) => [String(key), readText(value, key, `label "${key}"`)]),
  );
}

/** Numbers and booleans are taken as they are written. */
function readText(node: unknown, parent: unknown, what: string): string {
  if (node === undefined) throw new ListError(parent, `${what} is missing`);
  const isText = isScalar(node) && node.value !== null && node.value !== '';
  if (!isText) throw new ListError(node, `expected ${what} to be a text`);
  return typeof node.value === 'string' ? node.value : (node.source ?? String(node.value));
}
