import { ServiceError } from '../../protocol/errors.ts';
import type { InferenceRequest } from '../../scheduling/inference-request.ts';
import type { PickListener, Placement, RequestPlacer, SubmitOptions } from '../assignment.ts';
import { FrameKind, mostOpenRequests } from './frame-kinds.ts';
import { FrameReader } from './frame-reader.ts';
import type { FrameWriter } from './frame-writer.ts';
import { writePick } from './pick-frame.ts';
import { type Destination, readEndpoint, readPlaced } from './placed-frame.ts';
import { readRefusal } from './refusal-frame.ts';
import { RemotePlacement } from './remote-placement.ts';

/** Not yet answered. */
interface Open {
  readonly listener: PickListener<Placement>;
  readonly options: SubmitOptions;
  stopListening: () => void;
}

/** The door's end of a link: has its requests placed by the picker at the other end. */
export class RemotePlacer implements RequestPlacer {
  readonly #writer: FrameWriter;
  readonly #unsentBytes: () => number;
  readonly #reader = new FrameReader();
  /** By ticket; a placed request is in neither list nor among the free tickets until it is finished. */
  readonly #open: (Open | undefined)[] = [];
  readonly #freeTickets: number[] = [];
  #tickets = 0;
  /** By slot, as told. */
  readonly #endpoints: (Destination | undefined)[] = [];
  #isCutOff = false;

  /** `unsentBytes`: what the link holds because the picker does not take it. */
  constructor(writer: FrameWriter, unsentBytes: () => number) {
    this.#writer = writer;
    this.#unsentBytes = unsentBytes;
  }

  /** Requests that are not finished. */
  get openRequests(): number {
    return this.#tickets - this.#freeTickets.length;
  }

  submit(request: InferenceRequest, options: SubmitOptions, listener: PickListener<Placement>): void {
    if (this.#isCutOff) {
      listener.refused(cutOff());
      return;
    }
    const hasTicket = this.#freeTickets.length > 0 || this.#tickets < mostOpenRequests;
    if (!hasTicket || this.#unsentBytes() > maxUnsentBytes) {
      listener.refused(new ServiceError('overloaded', 'The picker does not keep up; try again.'));
      return;
    }
    const ticket = this.#freeTickets.pop() ?? this.#tickets++;
    try {
      writePick(this.#writer, ticket, request, options);
    } catch (error) {
      this.#freeTickets.push(ticket);
      listener.refused(error);
      return;
    }
    this.#open[ticket] = { listener, options, stopListening: nothing };
  }

  /** Throws if the frame is not what the picker's end writes. */
  onFrame(kind: number, bytes: Buffer, start: number, end: number): void {
    const reader = this.#reader;
    reader.open(bytes, start, end);
    if (kind === FrameKind.endpoint) {
      const { slot, name, address } = readEndpoint(reader);
      this.#endpoints[slot] = { name, address };
      return;
    }
    const ticket = reader.uint32();
    if (kind === FrameKind.placed) this.#onPlaced(ticket, reader);
    else if (kind === FrameKind.refused) this.#onRefused(ticket, readRefusal(reader));
    else if (kind === FrameKind.waiting) this.#onWaiting(ticket);
    else throw new RangeError(`Expected a frame of the picker, found kind ${kind}.`);
  }

  /** The picker is gone: what is not answered is refused, and so is what comes from now on. */
  cutOff(): void {
    this.#isCutOff = true;
    for (const ticket of this.#open.keys()) this.#take(ticket)?.listener.refused(cutOff());
  }

  #onPlaced(ticket: number, reader: FrameReader): void {
    const placed = readPlaced(reader);
    const endpoint = this.#endpoints[placed.slot];
    const open = this.#take(ticket);
    if (endpoint === undefined || open === undefined)
      throw new RangeError('Expected a request and its endpoint.');
    open.listener.placed(
      new RemotePlacement({
        ticket,
        placed,
        endpoint,
        writer: this.#writer,
        onFinished: () => this.#freeTickets.push(ticket),
      }),
    );
  }

  #onRefused(ticket: number, error: ServiceError): void {
    const open = this.#take(ticket);
    this.#freeTickets.push(ticket);
    open?.listener.refused(error);
  }

  /** Whoever submitted it may give it up from now on. */
  #onWaiting(ticket: number): void {
    const open = this.#open[ticket];
    const signal = open?.options.signal;
    if (open === undefined || signal === undefined) return;
    const giveUp = (): void => this.#giveUp(ticket);
    if (signal.aborted) giveUp();
    signal.addEventListener('abort', giveUp, { once: true });
    open.stopListening = () => signal.removeEventListener('abort', giveUp);
  }

  #giveUp(ticket: number): void {
    this.#writer.begin(FrameKind.giveUp, 4);
    this.#writer.uint32(ticket);
    this.#writer.end();
  }

  #take(ticket: number): Open | undefined {
    const open = this.#open[ticket];
    this.#open[ticket] = undefined;
    open?.stopListening();
    return open;
  }
}

/** A picker that is so far behind would answer too late. */
const maxUnsentBytes = 64 << 20;

function nothing(): void {}

function cutOff(): ServiceError {
  return new ServiceError('shutting_down', 'The picker has stopped; try again.');
}
