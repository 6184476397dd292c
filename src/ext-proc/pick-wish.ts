import type { SubmitOptions } from '../endpoint-picker/assignment.ts';

/**
 * What a stream asks of the picker besides the request itself; `abort` when it has no use for a pick any more.
 *
 * A class: a literal with a getter gets a hidden class of its own each time, in the old generation, and that keeps
 * all that the getter sees, the whole stream, until the next collection of everything.
 */
export class PickWish implements SubmitOptions {
  readonly subset: readonly string[] | undefined;
  readonly parserFault: string | undefined;
  readonly explains: boolean;
  #isGivenUp = false;
  /** Made only if the pick may have to wait: each costs as much as a scorer. */
  #aborter: AbortController | undefined;

  constructor(subset: readonly string[] | undefined, parserFault: string | undefined, explains: boolean) {
    this.subset = subset;
    this.parserFault = parserFault;
    this.explains = explains;
  }

  get signal(): AbortSignal {
    if (this.#isGivenUp) return AbortSignal.abort();
    this.#aborter ??= new AbortController();
    return this.#aborter.signal;
  }

  abort(): void {
    this.#isGivenUp = true;
    this.#aborter?.abort();
  }
}
