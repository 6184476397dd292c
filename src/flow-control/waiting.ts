import { type HeapNode, heapNode } from './indexed-heap.ts';

/** What the line must know of a request. */
export interface WaitingFacts {
  /** Higher is sooner. */
  readonly priority: number;
  readonly tenant: string;
  /** Memory that it holds while it waits. */
  readonly bytes: number;
}

/** A request that waits. Created by `FlowControl`, placed by `WaitingLine`. */
export interface Waiting<T> extends WaitingFacts {
  readonly request: T;
  readonly arrivedAtMs: number;
  /** Own prefill at the endpoint that was best for it when last looked at. */
  ownMs: number;
  /** Tokens to compute there: what its tenant is charged. */
  tokens: number;
  /** False from the moment that it left the line. */
  isWaiting: boolean;
  /** What others had been given when it first found room that was too small for it, tokens. */
  passedFrom: number | undefined;
  /** Its place among its tenant's requests, by own work less age. */
  readonly place: HeapNode<Waiting<T>>;
  /** Its place among all deadlines. */
  readonly deadline: HeapNode<Waiting<T>>;
}

export function createWaiting<T>(
  { priority, tenant, bytes }: WaitingFacts,
  request: T,
  arrivedAtMs: number,
): Waiting<T> {
  const waiting: Waiting<T> = {
    priority,
    tenant,
    bytes,
    request,
    arrivedAtMs,
    ownMs: 0,
    tokens: 0,
    isWaiting: false,
    passedFrom: undefined,
    get place() {
      return place;
    },
    get deadline() {
      return deadline;
    },
  };
  const place = heapNode(waiting, 0);
  const deadline = heapNode(waiting, 0);
  return waiting;
}
