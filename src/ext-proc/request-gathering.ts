import { bufferView } from '../protocol/buffer-view.ts';
import type { Headers, Metadata } from './messages.ts';
import { subsetHint } from './metadata.ts';

const noHeaders: Headers = new Map();

/** The request as it comes in, held until the pick. */
export class RequestGathering {
  headers: Headers = noHeaders;
  /** Undefined = the data plane sends no hint. */
  subset: readonly string[] | undefined;
  chunks: Uint8Array[] = [];
  bytes = 0;
  /** How the request ended: `open` while more may come, `trailers` when these came instead of an `end_of_stream`. */
  end: 'open' | 'end_of_stream' | 'trailers' = 'open';

  onMetadata(metadata: Metadata | undefined): void {
    this.subset ??= subsetHint(metadata);
  }

  onChunk(chunk: Uint8Array): void {
    this.chunks.push(chunk);
    this.bytes += chunk.length;
  }

  get body(): Buffer {
    const [first] = this.chunks;
    if (this.chunks.length !== 1 || first === undefined) return Buffer.concat(this.chunks, this.bytes);
    return bufferView(first);
  }

  /** Gives the chunks away, so that the prompt is not held while the response runs. */
  takeChunks(): readonly Uint8Array[] {
    const taken = this.chunks;
    this.chunks = [];
    return taken;
  }
}
