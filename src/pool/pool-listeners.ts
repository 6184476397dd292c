import type { Endpoint } from '../scheduling/endpoint.ts';
import { type Ejection, notYetScraped } from './endpoint-health.ts';
import type { EndpointState } from './endpoint-state.ts';

/** Names one incarnation of an endpoint: after removal its slot may belong to another. */
export type EndpointRef = Pick<Endpoint, 'name' | 'address' | 'slot'>;

/** `no_figures`: it answered, with nothing that we know. */
export type ScrapeResult = 'figures' | 'no_figures' | 'timeout' | 'failed';

export interface PoolListener {
  added?(endpoint: EndpointRef): void;
  removed?(endpoint: EndpointRef): void;
  /** Its figures were asked for. */
  scraped?(endpoint: EndpointRef, result: ScrapeResult): void;
  /** It began to answer scrapes, or ceased to for this reason. */
  readinessChanged?(endpoint: EndpointRef, reason: string | undefined): void;
  /** Requests have failed on it: it gets none for a while, then one at a time. */
  ejected?(endpoint: EndpointRef, ejection: Ejection): void;
  /** A request has succeeded on it after this ejection. */
  restored?(endpoint: EndpointRef, ejection: Ejection): void;
  /** A first token, an end, or a scrape, failed or not: what the endpoint can take may have changed. */
  roomChanged?(endpoint: EndpointRef): void;
}

/** Those who are told what becomes of the endpoints. */
export class PoolListeners {
  /** Another array with each change, so that one who leaves while being told disturbs nobody. */
  #listeners: readonly PoolListener[] = [];

  /** Until the function returned is called. */
  add(listener: PoolListener): () => void {
    this.#listeners = [...this.#listeners.filter((each) => each !== listener), listener];
    return () => {
      this.#listeners = this.#listeners.filter((each) => each !== listener);
    };
  }

  added(endpoint: EndpointRef): void {
    for (const listener of this.#listeners) listener.added?.(endpoint);
  }

  removed(endpoint: EndpointRef): void {
    for (const listener of this.#listeners) listener.removed?.(endpoint);
  }

  scraped(endpoint: EndpointRef, result: ScrapeResult): void {
    for (const listener of this.#listeners) listener.scraped?.(endpoint, result);
  }

  roomChanged(endpoint: EndpointRef): void {
    for (const listener of this.#listeners) listener.roomChanged?.(endpoint);
  }

  /** Tells what has become of the endpoint's health since it was so. */
  healthChanged(state: EndpointState, ejectionsBefore: number, ejectionBefore: Ejection | undefined): void {
    const { ejections, ejection, scrapeProblem } = state.health;
    if (ejection !== ejectionBefore || ejections !== ejectionsBefore) {
      for (const listener of this.#listeners) {
        if (ejection !== undefined && ejections > ejectionsBefore) listener.ejected?.(state, ejection);
        if (ejection === undefined && ejectionBefore !== undefined)
          listener.restored?.(state, ejectionBefore);
      }
    }
    if (scrapeProblem === notYetScraped) return;
    if (state.isKnownReady === (scrapeProblem === undefined)) return;
    state.isKnownReady = scrapeProblem === undefined;
    for (const listener of this.#listeners) listener.readinessChanged?.(state, scrapeProblem);
  }
}
