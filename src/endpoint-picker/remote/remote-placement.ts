import type { Outcome, Placement } from '../assignment.ts';
import { candidateScores, type Explanation, explanation } from '../explain.ts';
import { FrameKind } from './frame-kinds.ts';
import { type FrameWriter, maxTextBytes } from './frame-writer.ts';
import { maxOutcomeBytes, writeOutcome } from './outcome-frame.ts';
import type { Destination, Placed } from './placed-frame.ts';
import { appendText } from './text-list.ts';

export interface RemotePlacementOptions {
  readonly ticket: number;
  readonly placed: Placed;
  readonly endpoint: Destination;
  readonly writer: FrameWriter;
  readonly onFinished: () => void;
}

/** A request that a picker at the other end of a link has placed: tells it what becomes of the request. */
export class RemotePlacement implements Placement {
  readonly #options: RemotePlacementOptions;
  endpoint: Destination;
  /** Not yet told. */
  #passedBytes = 0;
  #hasFirstToken = false;
  #isFinished = false;

  constructor(options: RemotePlacementOptions) {
    this.#options = options;
    this.endpoint = options.endpoint;
  }

  alternatives(count: number): readonly string[] {
    return this.#options.placed.alternatives.slice(0, count);
  }

  explanation(): Explanation {
    const { record } = this.#options.placed;
    return record === undefined ? [] : explanation({ record, endpoint: this.endpoint });
  }

  scores(): ReturnType<typeof candidateScores> {
    const { record } = this.#options.placed;
    return record === undefined ? [] : candidateScores(record);
  }

  servedBy(address: string, passedOver: readonly string[]): void {
    if (this.#isFinished) return;
    const known = this.#options.placed.record?.ranking.find((each) => each.address === address);
    this.endpoint = { name: known?.name ?? address, address };
    const addresses = passedOver.reduce(appendText, appendText('', address));
    const writer = this.#begin(FrameKind.servedBy, 4 + maxTextBytes(addresses));
    writer.uint32(passedOver.length);
    writer.text(addresses);
    writer.end();
  }

  firstToken(): void {
    if (this.#isFinished || this.#hasFirstToken) return;
    this.#hasFirstToken = true;
    this.#begin(FrameKind.firstToken, 0).end();
  }

  passed(bytes: number): void {
    this.#passedBytes += bytes;
    if (!this.#options.placed.timesPieces || this.#isFinished) return;
    const writer = this.#begin(FrameKind.piece, 4);
    writer.uint32(this.#passedBytes);
    writer.end();
    this.#passedBytes = 0;
  }

  finish(outcome: Outcome): void {
    if (this.#isFinished) return;
    this.#isFinished = true;
    const writer = this.#begin(FrameKind.finish, 8 + maxOutcomeBytes);
    writer.float64(this.#passedBytes);
    writeOutcome(writer, outcome);
    writer.end();
    this.#options.onFinished();
  }

  #begin(kind: number, bytes: number): FrameWriter {
    const { writer, ticket } = this.#options;
    writer.begin(kind, 4 + bytes);
    writer.uint32(ticket);
    return writer;
  }
}
