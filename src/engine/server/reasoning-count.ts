import type { Tokenizer } from '../../tokenizer/index.ts';
import type { StepOutput } from '../step-output.ts';

/** The tokens that mark reasoning, in vocabularies that have one for each mark. */
export interface ReasoningMarks {
  readonly begin: number;
  readonly end: number;
}

export function reasoningMarks(tokenizer: Tokenizer): ReasoningMarks | undefined {
  const [begin, end] = ['<think>', '</think>'].map((mark) => {
    const tokenIds = tokenizer.encode(mark, { addSpecialTokens: false });
    return tokenIds.length === 1 ? tokenIds[0] : undefined;
  });
  return begin === undefined || end === undefined ? undefined : { begin, end };
}

/** Counts one choice's tokens up to the end of its reasoning, marks left out, as vLLM does. */
export class ReasoningCount {
  readonly #marks: ReasoningMarks;
  #tokens = 0;
  #isOver = false;

  constructor(marks: ReasoningMarks) {
    this.#marks = marks;
  }

  push(outputs: readonly StepOutput[]): void {
    for (const { tokenId } of outputs) {
      if (this.#isOver) return;
      if (tokenId === this.#marks.end) this.#isOver = true;
      else if (tokenId !== this.#marks.begin) this.#tokens++;
    }
  }

  /** `hasReasoning`: some text turned out to be reasoning; without, there is nothing to count. */
  tokens(hasReasoning: boolean): number {
    return hasReasoning ? this.#tokens : 0;
  }
}
