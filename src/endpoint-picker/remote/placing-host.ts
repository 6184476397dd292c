import type { Endpoint } from '../../scheduling/endpoint.ts';
import type { Assignment, EndpointPicker, PickListener, SubmitOptions } from '../assignment.ts';
import { FrameKind, mostOpenRequests } from './frame-kinds.ts';
import { FrameReader } from './frame-reader.ts';
import type { FrameWriter } from './frame-writer.ts';
import { readOutcome } from './outcome-frame.ts';
import { readPick } from './pick-frame.ts';
import { writeEndpoint, writePlaced } from './placed-frame.ts';
import { writeRefusal } from './refusal-frame.ts';
import { TextListReader } from './text-list.ts';

export interface PlacingHostOptions {
  readonly picker: Pick<EndpointPicker, 'submit'>;
  readonly writer: FrameWriter;
  /** How many alternatives doors may name. */
  readonly fallbacks: number;
}

interface Answers {
  readonly placed: (ticket: number, assignment: Assignment, explains: boolean) => void;
  readonly refused: (ticket: number, error: unknown) => void;
}

/** A request that has no place yet, how it is to get one, and who is told. */
class Pending implements SubmitOptions, PickListener {
  readonly subset: readonly string[] | undefined;
  readonly parserFault: string | undefined;
  readonly explains: boolean | undefined;
  readonly #ticket: number;
  readonly #answers: Answers;
  #aborter: AbortController | undefined;

  constructor(ticket: number, { subset, parserFault, explains }: SubmitOptions, answers: Answers) {
    this.subset = subset;
    this.parserFault = parserFault;
    this.explains = explains;
    this.#ticket = ticket;
    this.#answers = answers;
  }

  placed(assignment: Assignment): void {
    this.#answers.placed(this.#ticket, assignment, this.explains === true);
  }

  refused(error: unknown): void {
    this.#answers.refused(this.#ticket, error);
  }

  get signal(): AbortSignal {
    this.#aborter ??= new AbortController();
    return this.#aborter.signal;
  }

  giveUp(): void {
    this.#aborter?.abort();
  }
}

/** The picker's end of a link: owns the assignments of the doors at the other end until they are finished. */
export class PlacingHost {
  readonly #options: PlacingHostOptions;
  readonly #reader = new FrameReader();
  /** By ticket. */
  readonly #requests: (Assignment | Pending | undefined)[] = [];
  /** By slot: what the other end believes to be there. */
  readonly #told: (Endpoint | undefined)[] = [];
  readonly #answers: Answers = {
    placed: (ticket, assignment, explains) => this.#placed(ticket, assignment, explains),
    refused: (ticket, error) => this.#refused(ticket, error),
  };
  #open = 0;
  #isClosed = false;

  constructor(options: PlacingHostOptions) {
    this.#options = options;
  }

  /** Requests that are not finished, those that wait among them. */
  get openRequests(): number {
    return this.#open;
  }

  /** Throws a `RangeError` if the frame is not what a door writes. */
  onFrame(kind: number, bytes: Buffer, start: number, end: number): void {
    const reader = this.#reader;
    reader.open(bytes, start, end);
    if (kind === FrameKind.pick) {
      this.#pick(reader);
      return;
    }
    const ticket = reader.uint32();
    const request = this.#requests[ticket];
    if (kind === FrameKind.giveUp) {
      // Crossed by the answer, if it has its place already.
      if (request instanceof Pending) request.giveUp();
    } else if (request === undefined || request instanceof Pending) {
      throw new RangeError(`Expected the ticket of a placed request, found ${ticket}.`);
    } else this.#tell(request, kind, ticket, reader);
  }

  /** The other end is gone: whatever it had open ends now. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    // First those that wait, or the room that the others leave would be given to them.
    for (const request of this.#requests) if (request instanceof Pending) request.giveUp();
    for (const request of this.#requests) {
      if (!(request instanceof Pending)) request?.finish({ kind: 'worker_lost' });
    }
    this.#requests.length = 0;
    this.#open = 0;
  }

  #pick(reader: FrameReader): void {
    const { ticket, request, options } = readPick(reader);
    if (ticket >= mostOpenRequests) {
      throw new RangeError(`Expected a ticket below ${mostOpenRequests}, found ${ticket}.`);
    }
    if (this.#requests[ticket] !== undefined) {
      throw new RangeError(`Expected a free ticket, found ${ticket}, which is taken.`);
    }
    const pending = new Pending(ticket, options, this.#answers);
    this.#requests[ticket] = pending;
    this.#open++;
    const { picker, writer } = this.#options;
    picker.submit(request, pending, pending);
    if (this.#requests[ticket] !== pending) return;
    writer.begin(FrameKind.waiting, 4);
    writer.uint32(ticket);
    writer.end();
  }

  #placed(ticket: number, assignment: Assignment, explains: boolean): void {
    if (this.#isClosed) {
      assignment.finish({ kind: 'worker_lost' });
      return;
    }
    const { writer, fallbacks } = this.#options;
    this.#requests[ticket] = assignment;
    const { endpoint } = assignment;
    const told = this.#told[endpoint.slot];
    if (told?.name !== endpoint.name || told.address !== endpoint.address) {
      this.#told[endpoint.slot] = endpoint;
      writeEndpoint(writer, endpoint);
    }
    writePlaced(writer, ticket, assignment, { fallbacks, explains });
  }

  #refused(ticket: number, error: unknown): void {
    if (this.#isClosed) return;
    this.#free(ticket);
    writeRefusal(this.#options.writer, ticket, error);
  }

  #tell(assignment: Assignment, kind: number, ticket: number, reader: FrameReader): void {
    switch (kind) {
      case FrameKind.servedBy: {
        const count = reader.uint32();
        const texts = new TextListReader(reader.text());
        const address = texts.next();
        assignment.servedBy(
          address,
          Array.from({ length: count }, () => texts.next()),
        );
        return;
      }
      case FrameKind.firstToken:
        assignment.firstToken();
        return;
      case FrameKind.piece:
        assignment.passed(reader.uint32());
        return;
      case FrameKind.finish: {
        const bytes = reader.finite();
        const outcome = readOutcome(reader);
        if (bytes > 0) assignment.passed(bytes);
        this.#free(ticket);
        assignment.finish(outcome);
        return;
      }
      default:
        throw new RangeError(`Expected a frame of a door, found kind ${kind}.`);
    }
  }

  #free(ticket: number): void {
    this.#requests[ticket] = undefined;
    this.#open--;
  }
}
