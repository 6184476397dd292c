import type { StepOutput } from './step-output.ts';

/**
 * The outputs of one request on their way to one reader. While the reader is busy (a slow client), outputs
 * gather here and come out together: at most `choices × maxTokens` of them, so memory is bounded by the
 * request itself and the engine need not wait.
 */
export class Generation implements AsyncIterable<readonly StepOutput[]> {
  readonly requestId: number;
  #gathered: StepOutput[] = [];
  #isOver = false;
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(requestId: number) {
    this.requestId = requestId;
  }

  push(output: StepOutput): void {
    this.#gathered.push(output);
    this.#wake?.();
  }

  end(error?: Error): void {
    this.#isOver = true;
    this.#error ??= error;
    this.#wake?.();
  }

  [Symbol.asyncIterator](): AsyncIterator<readonly StepOutput[]> {
    return { next: () => this.#next() };
  }

  /** Not an async generator: that would take several turns of the microtask queue for every token. */
  async #next(): Promise<IteratorResult<readonly StepOutput[]>> {
    if (this.#gathered.length === 0 && !this.#isOver)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    this.#wake = undefined;
    if (this.#gathered.length > 0) {
      const value = this.#gathered;
      this.#gathered = [];
      return { done: false, value };
    }
    if (this.#error !== undefined) throw this.#error;
    return { done: true, value: undefined };
  }
}
