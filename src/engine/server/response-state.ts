import type { BlockUpdate } from './block-updates.ts';
import type { ChatRun } from './chat-run.ts';
import type { RequestBody } from './request-fields.ts';
import { outputItem } from './responses-items.ts';
import type { GenerationUsage } from './run-generation.ts';

export interface ResponseOptions {
  readonly isStored: boolean;
  /** Made whether or not the client waits. */
  readonly isBackground: boolean;
}

/** How a response ends that does not end by itself. */
export type ResponseEnd =
  | { readonly status: 'cancelled' }
  | { readonly status: 'failed'; readonly message: string };

/** One response as it grows, as the object that the Responses API shows. */
export class ResponseState {
  readonly #run: ChatRun;
  readonly #body: RequestBody;
  readonly #options: ResponseOptions;
  #last: BlockUpdate | undefined;
  #hasBegun = false;
  #end: ResponseEnd | undefined;

  constructor(run: ChatRun, body: RequestBody, options: ResponseOptions) {
    this.#run = run;
    this.#body = body;
    this.#options = options;
  }

  /** The latest update; undefined if nothing has been written. */
  get last(): BlockUpdate | undefined {
    return this.#last;
  }

  /** The first token has come. */
  begin(): void {
    this.#hasBegun = true;
  }

  update(update: BlockUpdate): void {
    this.#last = update;
  }

  end(end: ResponseEnd): void {
    this.#end = end;
  }

  get status(): string {
    if (this.#end !== undefined) return this.#end.status;
    const finish = this.#last?.finish;
    if (finish !== undefined) return finish.reason === 'length' ? 'incomplete' : 'completed';
    return this.#options.isBackground && !this.#hasBegun ? 'queued' : 'in_progress';
  }

  get object() {
    const { head, output, options } = this.#run;
    const { status } = this;
    const body = this.#body;
    const isWhole = status === 'completed';
    const isOver = this.#end !== undefined || this.#last?.finish !== undefined;
    const blocks = isOver ? (this.#last?.blocks ?? []) : [];
    return {
      id: head.id,
      object: 'response',
      created_at: head.created,
      status,
      background: this.#options.isBackground,
      error: this.#end?.status === 'failed' ? { code: 'server_error', message: this.#end.message } : null,
      incomplete_details: status === 'incomplete' ? { reason: 'max_output_tokens' } : null,
      instructions: body['instructions'] ?? null,
      max_output_tokens: body['max_output_tokens'] ?? null,
      metadata: body['metadata'] ?? {},
      model: head.model,
      output: blocks.map((block, i, { length }) =>
        outputItem(head.id, block, isWhole || i < length - 1 ? 'completed' : 'incomplete'),
      ),
      parallel_tool_calls: output.allowsSeveralCalls,
      previous_response_id: body['previous_response_id'] ?? null,
      reasoning: body['reasoning'] ?? { effort: null, summary: null },
      store: this.#options.isStored,
      temperature: options.sampling.temperature,
      text: body['text'] ?? { format: { type: 'text' } },
      tool_choice: body['tool_choice'] ?? 'auto',
      tools: body['tools'] ?? [],
      top_p: options.sampling.topP,
      truncation: 'disabled',
      usage: isOver && this.#last !== undefined ? usageFields(this.#last) : null,
      user: body['user'] ?? null,
    };
  }
}

function usageFields({ usage, reasoningTokens = 0 }: BlockUpdate) {
  const { promptTokens, cachedTokens, completionTokens }: GenerationUsage = usage;
  return {
    input_tokens: promptTokens,
    input_tokens_details: { cached_tokens: cachedTokens },
    output_tokens: completionTokens,
    output_tokens_details: { reasoning_tokens: reasoningTokens },
    total_tokens: promptTokens + completionTokens,
  };
}
