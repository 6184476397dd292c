import { frameSize, violation } from './http2-error.ts';

/** What RFC 9113 asks of the smaller frames by themselves, whatever the connection's state; all throw a `ConnectionError`. */

export function checkPriority(id: number, bytes: Buffer, at: number, length: number): void {
  if (length !== 5) throw frameSize('PRIORITY of 5 bytes', length);
  if ((bytes.readUInt32BE(at) & 0x7fff_ffff) === id) throw violation('another parent', `stream ${id} itself`);
}

export function checkPing(id: number, length: number): void {
  if (id !== 0) throw violation('PING on stream 0', `stream ${id}`);
  if (length !== 8) throw frameSize('PING of 8 bytes', length);
}

export function checkGoaway(id: number, length: number): void {
  if (id !== 0) throw violation('GOAWAY on stream 0', `stream ${id}`);
  if (length < 8) throw frameSize('GOAWAY of at least 8 bytes', length);
}

/** The increment of a WINDOW_UPDATE. */
export function windowIncrement(bytes: Buffer, at: number, length: number): number {
  if (length !== 4) throw frameSize('WINDOW_UPDATE of 4 bytes', length);
  return bytes.readUInt32BE(at) & 0x7fff_ffff;
}
