import type { IncrementalDetokenizer, Tokenizer } from '../../tokenizer/index.ts';
import type { StepOutput } from '../step-output.ts';
import type { GenerationOptions } from './generation-options.ts';
import { StopStrings } from './stop-strings.ts';

/** Why a choice is over, in OpenAI's words; `stopReason` is the stop string or stop token that ended it. */
export interface ChoiceFinish {
  readonly reason: 'stop' | 'length';
  readonly stopReason: string | number | undefined;
}

export interface TextDelta {
  readonly text: string;
  readonly finish: ChoiceFinish | undefined;
}

/** The text of one choice as it grows: detokenizes, looks for stop strings, notices the end. */
export class ChoiceText {
  readonly #detokenizer: IncrementalDetokenizer;
  readonly #stops: StopStrings;
  readonly #minTokens: number;
  readonly #includesStop: boolean;
  #tokens = 0;

  constructor(tokenizer: Tokenizer, options: GenerationOptions) {
    this.#detokenizer = tokenizer.createDetokenizer({ skipSpecialTokens: options.skipsSpecialTokens });
    this.#stops = new StopStrings(options.stop, options.includesStopInOutput);
    this.#minTokens = options.sampling.minTokens;
    this.#includesStop = options.includesStopInOutput;
  }

  /** Tokens so far, those that ended the choice included. */
  get tokens(): number {
    return this.#tokens;
  }

  push({ tokenId, finish }: StepOutput): TextDelta {
    this.#tokens++;
    // The token that ends the text is not part of it.
    const isHidden = finish?.reason === 'stop' && !this.#includesStop;
    const piece =
      (isHidden ? '' : this.#detokenizer.push(tokenId)) +
      (finish === undefined ? '' : this.#detokenizer.flush());
    // Before min_tokens stop strings do not count, as in vLLM.
    const { text, stop } =
      this.#tokens < this.#minTokens ? { text: piece, stop: undefined } : this.#stops.push(piece);
    if (stop !== undefined) return { text, finish: { reason: 'stop', stopReason: stop } };
    if (finish === undefined) return { text, finish: undefined };
    const stopReason = finish.reason === 'stop' ? finish.stopTokenId : undefined;
    const reason = finish.reason === 'length' ? 'length' : 'stop';
    return { text: text + this.#stops.flush(), finish: { reason, stopReason } };
  }
}
