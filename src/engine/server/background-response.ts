import { clientError } from './error-body.ts';
import type { ResponsesEvent } from './response-events.ts';
import type { ResponseState } from './response-state.ts';

/** A response that is made whether or not a client waits for it, and can be looked at meanwhile. */
export class BackgroundResponse {
  readonly #state: ResponseState;
  readonly #stop: AbortController;
  /** Kept for those who follow; undefined if nobody may. */
  readonly #events: ResponsesEvent[] | undefined;
  #isOver = false;
  /** Called when there is another event, or the end. */
  readonly #waiting = new Set<() => void>();

  constructor(state: ResponseState, stop: AbortController, keepsEvents: boolean) {
    this.#state = state;
    this.#stop = stop;
    this.#events = keepsEvents ? [] : undefined;
  }

  get object(): object {
    return this.#state.object;
  }

  /** Neither ended nor cancelled. */
  get isRunning(): boolean {
    return this.#state.status === 'queued' || this.#state.status === 'in_progress';
  }

  get events(): readonly ResponsesEvent[] | undefined {
    return this.#events;
  }

  cancel(): void {
    this.#state.end({ status: 'cancelled' });
    this.#stop.abort();
  }

  /** Reads the events to their end. What fails is told by the response, never thrown. */
  async run(events: AsyncIterable<ResponsesEvent>): Promise<void> {
    try {
      for await (const event of events) {
        this.#events?.push(event);
        this.#tell();
      }
      if (this.isRunning) this.#state.end({ status: 'cancelled' });
    } catch (error) {
      const message = clientError(error)?.message ?? 'The engine failed during the answer.';
      this.#state.end({ status: 'failed', message });
      const sequence_number = this.#events?.length ?? 0;
      this.#events?.push({ type: 'response.failed', response: this.object, sequence_number });
    } finally {
      this.#isOver = true;
      this.#tell();
    }
  }

  /** The events after this number, the present ones at once, the others as they come. */
  async *follow(after: number, signal: AbortSignal): AsyncGenerator<ResponsesEvent> {
    for (let next = after + 1; !signal.aborted; ) {
      const event = this.#events?.[next];
      if (event !== undefined) {
        next++;
        yield event;
      } else if (this.#isOver) return;
      else await this.#change(signal);
    }
  }

  #change(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        signal.removeEventListener('abort', done);
        this.#waiting.delete(done);
        resolve();
      };
      signal.addEventListener('abort', done);
      this.#waiting.add(done);
    });
  }

  #tell(): void {
    for (const done of [...this.#waiting]) done();
  }
}
