import { ClientConnection, type Reading, type Target } from './client/connection.ts';
import { destinationHeader, destinationMetadata } from './destination.ts';
import { type Dialect, dialects } from './dialects.ts';
import type { EchoBackends } from './echo-backends.ts';
import { Exchange } from './exchange.ts';
import { chatBody, chatEvents, eventStream, type HttpRequest, inChunks, post } from './http-shapes.ts';
import { NotJudged } from './outcome.ts';

export const processPath = '/envoy.service.ext_proc.v3.ExternalProcessor/Process';

export interface SessionOptions {
  readonly target: Target;
  /** Where health is asked for, if not beside the service. */
  readonly health: Target | undefined;
  readonly timeoutMs: number;
  /** How long the picker may take to find its endpoints. */
  readonly warmUpMs: number;
  readonly model: string;
  /** What the pool of the picker should hold. */
  readonly endpoints: readonly string[];
  /** The operator says that the pool holds exactly these. */
  readonly areEndpointsCertain: boolean;
  /** The picker is set up to name fallbacks behind the first endpoint. */
  readonly namesFallbacks: boolean;
  /**
   * The picker is set up to turn requests away while its endpoints are full: those with this inference objective,
   * or any if it is empty. Undefined = it is not.
   */
  readonly sheds: string | undefined;
  readonly backends: EchoBackends;
}

/** What was learned of the picker's pool before the first case. */
export interface KnownPool {
  /** Addresses that were picked. */
  readonly seen: readonly string[];
  /** Why nothing was ever picked; undefined if something was. */
  readonly emptyBecause: string | undefined;
}

const probes = 12;
const probePauseMs = 250;

/** The picker under judgement, and what all cases share. Owns the connection that most of them use. */
export class Session {
  readonly options: SessionOptions;
  #pool: KnownPool = { seen: [], emptyBecause: 'it was not asked yet' };
  #connection: Promise<ClientConnection> | undefined;
  readonly #standard = new Map<string, Promise<Exchange>>();

  constructor(options: SessionOptions) {
    this.options = options;
  }

  get timeoutMs(): number {
    return this.options.timeoutMs;
  }

  /** A connection of its own, for cases that break it. The caller closes it. */
  async connect(target = this.options.target, reading?: Reading): Promise<ClientConnection> {
    return ClientConnection.open(target, this.timeoutMs, reading);
  }

  /** The connection that is shared; a new one when the last was lost. */
  async shared(): Promise<ClientConnection> {
    const earlier = await this.#connection?.catch(() => undefined);
    if (earlier?.isUsable) return earlier;
    earlier?.close();
    this.#connection = this.connect();
    return this.#connection;
  }

  async start(dialect: Dialect): Promise<Exchange> {
    return this.startOn(await this.shared(), dialect);
  }

  startOn(connection: ClientConnection, dialect: Dialect, timeoutMs = this.timeoutMs): Exchange {
    return new Exchange(connection.openCall(processPath), dialect, timeoutMs);
  }

  /** One request up to its pick; then the data plane goes away. */
  async ask(dialect: Dialect, request: HttpRequest = this.chat()): Promise<Exchange> {
    const exchange = await (await this.start(dialect)).request(request);
    return exchange.cancel();
  }

  /** A request that was picked for; its response may follow. The case is failed when it was not. */
  async picked(dialect: Dialect, request: HttpRequest = this.chat()): Promise<Exchange> {
    this.requirePool();
    return (await (await this.start(dialect)).request(request)).requirePicked();
  }

  /** An ordinary request and its streamed response, once per dialect. */
  async standard(dialect: Dialect): Promise<Exchange> {
    this.requirePool();
    let run = this.#standard.get(dialect.name);
    if (run === undefined) {
      run = this.#runStandard(dialect);
      this.#standard.set(dialect.name, run);
    }
    return run;
  }

  chat(fields: Partial<HttpRequest> = {}): HttpRequest {
    const body = chatBody(this.options.model, { stream: true });
    return post(body, { chunks: inChunks(body, 64), ...fields });
  }

  events(isPaced: boolean) {
    return eventStream(chatEvents(this.options.model), { isPaced });
  }

  /** Addresses that the picker certainly has; the case is not judged when it has none. */
  requirePool(): readonly string[] {
    const { seen, emptyBecause } = this.#pool;
    if (emptyBecause !== undefined) {
      throw new NotJudged(`nothing is ever picked (${emptyBecause}); give the pool endpoints`);
    }
    return seen;
  }

  get pool(): KnownPool {
    return this.#pool;
  }

  /** Asks until something is picked, then learns what else there is. Throws when nobody listens. */
  async warmUp(): Promise<KnownPool> {
    const deadline = performance.now() + this.options.warmUpMs;
    await this.shared();
    for (;;) {
      const [first] = await this.#probe(1);
      if (first?.address !== undefined) break;
      this.#pool = { seen: [], emptyBecause: first?.found ?? 'no answer' };
      if (performance.now() > deadline) return this.#pool;
      await new Promise((resolve) => setTimeout(resolve, probePauseMs));
    }
    const found = (await this.#probe(probes)).flatMap(({ address }) =>
      address === undefined ? [] : [address],
    );
    this.#pool = { seen: [...new Set(found)].sort(), emptyBecause: undefined };
    return this.#pool;
  }

  async close(): Promise<void> {
    (await this.#connection?.catch(() => undefined))?.close();
  }

  /** Requests that are open together, so that a picker which looks at load spreads them. */
  async #probe(count: number): Promise<{ address: string | undefined; found: string }[]> {
    const connection = await this.shared();
    const bodies = Array.from({ length: count }, (_, i) =>
      chatBody(this.options.model, { user: `probe ${i}` }),
    );
    const open = await Promise.all(
      bodies.map((body) => this.startOn(connection, dialects.duplex).request(post(body))),
    );
    return open.map((exchange) => {
      const value = destinationHeader(exchange) ?? destinationMetadata(exchange);
      exchange.cancel();
      return { address: value?.split(',')[0], found: exchange.describe() };
    });
  }

  async #runStandard(dialect: Dialect): Promise<Exchange> {
    const exchange = await (await this.start(dialect)).request(this.chat());
    await exchange.response(this.events(false));
    return exchange.finish();
  }
}
