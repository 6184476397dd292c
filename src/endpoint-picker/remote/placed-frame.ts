import { deserialize, serialize } from 'node:v8';
import type { Endpoint } from '../../scheduling/endpoint.ts';
import { spelledOut } from '../../scheduling/led-result.ts';
import type { SchedulingResult } from '../../scheduling/scheduling-result.ts';
import type { Assignment } from '../assignment.ts';
import { FrameKind } from './frame-kinds.ts';
import type { FrameReader } from './frame-reader.ts';
import { type FrameWriter, maxTextBytes } from './frame-writer.ts';
import { appendText, TextListReader } from './text-list.ts';

/** Of an endpoint, what a door uses. */
export type Destination = Readonly<{ name: string; address: string }>;

/** What a door is told of a request that has its place. */
export interface Placed {
  /** Of the endpoint, which has been told before. */
  readonly slot: number;
  /** Each piece of the response is to be told when it goes by: the gaps between them are measured. */
  readonly timesPieces: boolean;
  readonly alternatives: readonly string[];
  /** For requests that ask for an explanation. */
  readonly record: SchedulingResult | undefined;
}

export interface PlacedOptions {
  /** How many alternatives the door may name. */
  readonly fallbacks: number;
  readonly explains: boolean;
}

export function writeEndpoint(writer: FrameWriter, { slot, name, address }: Endpoint): void {
  const texts = appendText(appendText('', name), address);
  writer.begin(FrameKind.endpoint, 4 + maxTextBytes(texts));
  writer.uint32(slot);
  writer.text(texts);
  writer.end();
}

export function readEndpoint(reader: FrameReader): Destination & { readonly slot: number } {
  const slot = reader.uint32();
  const texts = new TextListReader(reader.text());
  return { slot, name: texts.next(), address: texts.next() };
}

export function writePlaced(
  writer: FrameWriter,
  ticket: number,
  assignment: Assignment,
  { fallbacks, explains }: PlacedOptions,
): void {
  const alternatives = assignment.alternatives(fallbacks);
  const addresses = alternatives.reduce(appendText, '');
  const record = explains ? serialize(portable(assignment.record)) : noBytes;
  writer.begin(FrameKind.placed, 16 + maxTextBytes(addresses) + record.length);
  writer.uint32(ticket);
  writer.uint32(assignment.endpoint.slot);
  writer.uint8(assignment.timesPieces ? 1 : 0);
  writer.uint8(alternatives.length);
  if (alternatives.length > 0) writer.text(addresses);
  writer.bytes(record);
  writer.end();
}

/** What is behind the ticket. */
export function readPlaced(reader: FrameReader): Placed {
  const slot = reader.uint32();
  const timesPieces = reader.uint8() === 1;
  const length = reader.uint8();
  let alternatives: readonly string[] = [];
  if (length > 0) {
    const texts = new TextListReader(reader.text());
    alternatives = Array.from({ length }, () => texts.next());
  }
  const record = reader.isAtEnd ? undefined : (deserialize(reader.rest()) as SchedulingResult);
  return { slot, timesPieces, alternatives, record };
}

const noBytes = new Uint8Array(0);

/** An explanation names the endpoints of the ranking, and tells no more of them. */
function portable(record: SchedulingResult): object {
  return { ...spelledOut(record), ranking: record.ranking.map(({ name, address }) => ({ name, address })) };
}
