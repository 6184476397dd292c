import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { CheckpointError } from '../checkpoint-error.ts';

const CHUNK_BYTES = 1 << 20;

/** Little-endian values from a file, front to back. Never asks for more memory than the file has bytes left. */
export class ByteReader {
  readonly fileBytes: number;
  readonly #file: string;
  readonly #fd: number;
  #buffer = Buffer.alloc(0);
  /** Of the buffer in the file. */
  #start = 0;
  #at = 0;

  constructor(file: string) {
    this.#file = file;
    try {
      this.#fd = openSync(file, 'r');
    } catch (cause) {
      throw new CheckpointError(`${file} cannot be opened`, { cause });
    }
    this.fileBytes = fstatSync(this.#fd).size;
  }

  close(): void {
    closeSync(this.#fd);
  }

  get position(): number {
    return this.#start + this.#at;
  }

  /** Bytes between the position and the end of the file. */
  get left(): number {
    return this.fileBytes - this.position;
  }

  uint8 = (): number => this.#take(1).readUInt8();
  int8 = (): number => this.#take(1).readInt8();
  uint16 = (): number => this.#take(2).readUInt16LE();
  int16 = (): number => this.#take(2).readInt16LE();
  uint32 = (): number => this.#take(4).readUInt32LE();
  int32 = (): number => this.#take(4).readInt32LE();
  float32 = (): number => this.#take(4).readFloatLE();
  float64 = (): number => this.#take(8).readDoubleLE();
  /** Beyond 2^53 the nearest double: large enough to be refused as a count. */
  uint64 = (): number => Number(this.#take(8).readBigUInt64LE());
  int64 = (): number => Number(this.#take(8).readBigInt64LE());

  text = (): string => this.#take(this.uint64()).toString('utf8');

  /** The next bytes, valid until more are taken. */
  #take(bytes: number): Buffer {
    if (bytes > this.left)
      throw new CheckpointError(
        `${this.#file} is truncated or corrupt: byte ${this.position} announces ${bytes} more bytes, the file has ${this.left}; copy it again`,
      );
    if (this.#at + bytes > this.#buffer.length) this.#refill(bytes);
    this.#at += bytes;
    return this.#buffer.subarray(this.#at - bytes, this.#at);
  }

  #refill(bytes: number): void {
    const start = this.position;
    const wanted = Math.min(Math.max(bytes, CHUNK_BYTES), this.left);
    const buffer = Buffer.alloc(wanted);
    if (readSync(this.#fd, buffer, 0, wanted, start) !== wanted)
      throw new CheckpointError(`${this.#file} changed while it was read; try again`);
    this.#buffer = buffer;
    this.#start = start;
    this.#at = 0;
  }
}
