/** The parts of a completion event that are looked at. */
interface CompletionEvent {
  readonly id?: string;
  readonly error?: { readonly message?: string };
  readonly choices?: readonly { readonly text?: string; readonly finish_reason?: string | null }[];
  readonly usage?: {
    readonly prompt_tokens?: number;
    readonly completion_tokens?: number;
    readonly prompt_tokens_details?: { readonly cached_tokens?: number } | null;
  } | null;
}

/**
 * Follows one streamed completion: text events of one id, then one finish reason, then usage, then `[DONE]`,
 * then nothing.
 */
export class StreamCheck {
  /** The first thing that is wrong; undefined while all is well. */
  failure: string | undefined;
  tokenEvents = 0;
  usage: NonNullable<CompletionEvent['usage']> | undefined;
  #id: string | undefined;
  #finishReason: string | undefined;
  #isDone = false;

  /** True if the event holds generated text. */
  onEvent(data: string): boolean {
    if (this.#isDone) this.#fail(`an event after [DONE]: ${data.slice(0, 80)}`);
    if (data === '[DONE]') {
      this.#isDone = true;
      return false;
    }
    let event: CompletionEvent;
    try {
      event = JSON.parse(data);
    } catch {
      this.#fail(`an event that is no JSON: ${data.slice(0, 80)}`);
      return false;
    }
    if (event.error !== undefined) this.#fail(`error event: ${event.error.message}`);
    this.#id ??= event.id;
    if (event.id !== this.#id) this.#fail(`an event of another stream: ${event.id} in ${this.#id}`);
    if (event.usage) this.usage = event.usage;
    const choice = event.choices?.[0];
    if (choice === undefined) return false;
    if (this.#finishReason !== undefined) this.#fail('a choice after its finish reason');
    if (choice.finish_reason) this.#finishReason = choice.finish_reason;
    const hasText = (choice.text ?? '') !== '' || Boolean(choice.finish_reason);
    if (hasText) this.tokenEvents++;
    return hasText;
  }

  /** What is missing from a stream that has ended. */
  incompleteness(outputTokens: number): string | undefined {
    if (!this.#isDone) return 'the stream ended without [DONE]';
    if (this.#finishReason === undefined) return 'the stream has no finish reason';
    const completed = this.usage?.completion_tokens;
    if (completed === undefined) return 'the stream has no usage';
    if (this.#finishReason === 'length' && completed !== outputTokens)
      return `${completed} tokens instead of ${outputTokens}`;
    return undefined;
  }

  #fail(message: string): void {
    this.failure ??= message;
  }
}
