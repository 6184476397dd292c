import type { OutputEvent } from '../output-parsers/index.ts';

/** A part of an answer that stands for itself. Anthropic and the Responses API send answers in such parts. */
export interface OutputBlock {
  readonly kind: 'content' | 'reasoning' | 'call';
  /** From 0, in the order of the answer. */
  readonly index: number;
  /** Of a call: its id and the tool's name. */
  readonly callId: string;
  readonly name: string;
  /** What it says so far; the arguments of a call, as JSON text. */
  text: string;
}

export interface BlockEvent {
  readonly kind: 'open' | 'delta' | 'close';
  readonly block: OutputBlock;
  /** New text of a delta. */
  readonly text: string;
}

/** An answer as blocks: one is open at a time, and each is opened, filled and closed. */
export class OutputBlocks {
  readonly #createCallId: () => string;
  readonly #blocks: OutputBlock[] = [];
  #open: OutputBlock | undefined;

  constructor(createCallId: () => string) {
    this.#createCallId = createCallId;
  }

  get blocks(): readonly OutputBlock[] {
    return this.#blocks;
  }

  push(event: OutputEvent): BlockEvent[] {
    if (event.kind === 'call') return this.#start('call', event.name);
    const kind = event.kind === 'arguments' ? 'call' : event.kind;
    const opened = this.#open?.kind === kind ? [] : this.#start(kind, '');
    const block = this.#open!;
    block.text += event.text;
    return [...opened, { kind: 'delta', block, text: event.text }];
  }

  close(): BlockEvent[] {
    const block = this.#open;
    this.#open = undefined;
    return block === undefined ? [] : [{ kind: 'close', block, text: '' }];
  }

  #start(kind: OutputBlock['kind'], name: string): BlockEvent[] {
    const closed = this.close();
    const block: OutputBlock = {
      kind,
      index: this.#blocks.length,
      callId: kind === 'call' ? this.#createCallId() : '',
      name,
      text: '',
    };
    this.#blocks.push(block);
    this.#open = block;
    return [...closed, { kind: 'open', block, text: '' }];
  }
}
