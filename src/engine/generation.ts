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

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly StepOutput[]> {
    for (;;) {
      if (this.#gathered.length > 0) {
        const outputs = this.#gathered;
        this.#gathered = [];
        yield outputs;
      } else if (this.#error !== undefined) {
        throw this.#error;
      } else if (this.#isOver) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
      }
    }
  }
}
