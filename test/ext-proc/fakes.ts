import type {
  Assignment,
  EndpointPicker,
  Outcome,
  PickOptions,
} from '../../src/endpoint-picker/assignment.ts';
import { ServiceError } from '../../src/protocol/errors.ts';
import type { Endpoint } from '../../src/scheduling/endpoint.ts';
import type { InferenceRequest } from '../../src/scheduling/inference-request.ts';
import { submitByPicking } from '../support/submit-by-picking.ts';

/** An endpoint of which only the address matters. */
export function endpointAt(address: string, slot = 0): Endpoint {
  return { name: address, address, isReady: true, slot } as Endpoint;
}

export interface FakePick {
  readonly request: InferenceRequest;
  readonly options: PickOptions;
  readonly outcomes: Outcome[];
  firstTokens: number;
  passedBytes: number;
  retries: string[];
  /** Of each `servedBy`: the address, then those passed over. */
  readonly served: string[][];
}

export interface FakePicker extends EndpointPicker {
  readonly picks: FakePick[];
  /** Assignments not yet finished. */
  inFlight(): number;
  /** Picks that are held. */
  waiting(): number;
  /** Picks stay open until the returned function is called. */
  hold(): () => void;
  /** The next picks fail with this. */
  failWith(error: unknown): void;
}

/** Picks round robin among the addresses that the subset allows, and notes what becomes of each pick. */
export function fakePicker(addresses: readonly string[]): FakePicker {
  const picks: FakePick[] = [];
  let gate = Promise.resolve();
  let failure: unknown;
  let turn = 0;
  let waiting = 0;

  const picker: FakePicker = {
    picks,
    inFlight: () => picks.filter((pick) => pick.outcomes.length === 0).length,
    waiting: () => waiting,
    hold() {
      let release = () => {};
      gate = new Promise((resolve) => {
        release = resolve;
      });
      return () => release();
    },
    failWith(error) {
      failure = error;
    },
    async pick(request, options) {
      const aborted = new Promise<never>((_, reject) => {
        options.signal.addEventListener('abort', () =>
          reject(new ServiceError('client_closed', 'The client has gone.')),
        );
      });
      waiting++;
      await Promise.race([gate, aborted]).finally(() => waiting--);
      if (failure !== undefined) throw failure;
      const allowed = addresses.filter((address) => isAllowed(address, options.subset));
      if (allowed.length === 0) throw new ServiceError('no_endpoints', 'No endpoint is ready.');
      const first = turn++ % allowed.length;
      const ranking = [...allowed.slice(first), ...allowed.slice(0, first)].map(endpointAt);
      const pick: FakePick = {
        request,
        options,
        outcomes: [],
        firstTokens: 0,
        passedBytes: 0,
        retries: [],
        served: [],
      };
      picks.push(pick);
      return fakeAssignment(pick, ranking);
    },
    submit: (request, options, listener) => submitByPicking(picker.pick)(request, options, listener),
    models: () => [],
    isReady: () => addresses.length > 0,
  };
  return picker;
}

function isAllowed(address: string, subset: readonly string[] | undefined): boolean {
  const host = address.slice(0, address.lastIndexOf(':'));
  return subset === undefined || subset.includes(address) || subset.includes(host);
}

function fakeAssignment(pick: FakePick, ranking: readonly Endpoint[]): Assignment {
  let current = 0;
  return {
    request: pick.request,
    get endpoint() {
      return ranking[current]!;
    },
    record: { ranking } as Assignment['record'],
    alternatives: (count) =>
      ranking
        .filter((endpoint, rank) => rank !== current && endpoint.isReady)
        .slice(0, count)
        .map(({ address }) => address),
    explanation: () => [],
    scores: () => [],
    timesPieces: false,
    retryNext(reason) {
      pick.retries.push(reason);
      current++;
      return ranking[current];
    },
    servedBy(address, passedOver) {
      pick.served.push([address, ...passedOver]);
      current = Math.max(
        current,
        ranking.findIndex((endpoint) => endpoint.address === address),
      );
    },
    firstToken() {
      pick.firstTokens++;
    },
    passed(bytes) {
      pick.passedBytes += bytes;
    },
    finish(outcome) {
      pick.outcomes.push(outcome);
    },
  };
}
