import { CallReader } from './call-reader.ts';
import type { MarkerScanner } from './marker-scanner.ts';
import type { OutputEvent } from './output-parser.ts';

/** The calls of one answer, numbered; reads their objects one after the other. */
export class CallSequence {
  #next = 0;
  #reader: CallReader | undefined;
  #isAnnounced = false;

  /** An object is being read. */
  get isOpen(): boolean {
    return this.#reader !== undefined;
  }

  /** The next character is the `{` of a call. */
  open(): void {
    this.#reader = new CallReader();
    this.#isAnnounced = false;
  }

  /** A call whose name is not in its object. Returns its number. */
  announce(name: string): OutputEvent & { readonly kind: 'call' } {
    return { kind: 'call', index: this.#next++, name };
  }

  /** Reads on. An object that ends without a name was no call: it is content. */
  read(scanner: MarkerScanner): OutputEvent[] {
    const reader = this.#reader;
    if (reader === undefined) return [];
    const { name, argumentsText, isComplete, consumed } = reader.push(scanner.held);
    scanner.take(consumed);
    const events: OutputEvent[] = [];
    if (name !== undefined && !this.#isAnnounced) {
      this.#isAnnounced = true;
      events.push(this.announce(name));
    }
    if (argumentsText !== '') events.push({ kind: 'arguments', index: this.#next - 1, text: argumentsText });
    if (isComplete) events.push(...this.abandon());
    return events;
  }

  /** Ends the open object; as content if it has no name yet. */
  abandon(): OutputEvent[] {
    const raw = this.#reader?.raw ?? '';
    const isContent = this.#reader !== undefined && !this.#isAnnounced && raw !== '';
    this.#reader = undefined;
    return isContent ? [{ kind: 'content', text: raw }] : [];
  }
}
