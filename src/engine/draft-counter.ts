import type { DraftCounters } from './step-output.ts';

/** Counts drafts and how far they were right. */
export class DraftCounter implements DraftCounters {
  drafts = 0;
  draftTokens = 0;
  acceptedTokens = 0;
  readonly acceptedAt: number[];

  /** `mostTokens`: of one draft. */
  constructor(mostTokens: number) {
    this.acceptedAt = new Array<number>(mostTokens).fill(0);
  }

  count(drafted: number, accepted: number): void {
    this.drafts++;
    this.draftTokens += drafted;
    this.acceptedTokens += accepted;
    for (let at = 0; at < accepted; at++) this.acceptedAt[at]!++;
  }
}
