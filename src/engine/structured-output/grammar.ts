import type { Expression } from './expression.ts';
import { StructuredOutputError } from './expression.ts';
import { utf8Ranges } from './utf8-ranges.ts';

/** Where one byte leads. */
export interface ByteEdge {
  readonly first: number;
  readonly last: number;
  readonly to: number;
}

/** Go through a rule, then on. */
export interface CallEdge {
  readonly start: number;
  readonly to: number;
}

export interface GrammarNode {
  readonly bytes: ByteEdge[];
  readonly empty: number[];
  readonly calls: CallEdge[];
  /** The end of its rule. */
  isEnd: boolean;
}

/**
 * A recursive transition network over bytes: one nondeterministic automaton per rule, which call each other.
 * Nodes of all rules are numbered together.
 */
export interface Grammar {
  readonly nodes: readonly GrammarNode[];
  readonly start: number;
}

const maxNodes = 100_000;
/** Expressions written out, those that read nothing included. */
const maxEmitted = 500_000;

export function compileGrammar(root: Expression, rules: ReadonlyMap<string, Expression>): Grammar {
  const nodes: GrammarNode[] = [];
  const starts = new Map<string, number>();

  let emitted = 0;

  const tooLarge = () =>
    new StructuredOutputError('The structure is too large; shorten its repetitions or split it.');
  const node = (): number => {
    if (nodes.length >= maxNodes) throw tooLarge();
    nodes.push({ bytes: [], empty: [], calls: [], isEnd: false });
    return nodes.length - 1;
  };
  /** Rules whose nodes are still to be written: rules may refer to each other in long chains. */
  const pending: { readonly body: Expression; readonly start: number }[] = [];
  const startOf = (name: string): number => {
    const known = starts.get(name);
    if (known !== undefined) return known;
    const body = rules.get(name);
    if (body === undefined) throw new Error(`structured output: no rule ${name}`);
    const start = node();
    starts.set(name, start);
    pending.push({ body, start });
    return start;
  };

  /** Adds the expression after `from`; returns the node where it has been read. */
  const emit = (expression: Expression, from: number): number => {
    if (++emitted > maxEmitted) throw tooLarge();
    switch (expression.kind) {
      case 'text':
        return Buffer.from(expression.text, 'utf8').reduce((at, byte) => {
          const to = node();
          nodes[at]!.bytes.push({ first: byte, last: byte, to });
          return to;
        }, from);
      case 'character': {
        const to = node();
        for (const bytes of expression.ranges.flatMap(utf8Ranges)) {
          let at = from;
          for (const [i, [first, last]] of bytes.entries()) {
            const next = i === bytes.length - 1 ? to : node();
            nodes[at]!.bytes.push({ first, last, to: next });
            at = next;
          }
        }
        return to;
      }
      case 'sequence':
        return expression.parts.reduce((at, part) => emit(part, at), from);
      case 'choice': {
        const to = node();
        for (const option of expression.options) {
          // Each option has its own first node, so that loops inside it do not touch the others.
          const first = node();
          nodes[from]!.empty.push(first);
          nodes[emit(option, first)]!.empty.push(to);
        }
        return to;
      }
      case 'repeat':
        return emitRepeat(expression, from);
      case 'rule': {
        const to = node();
        nodes[from]!.calls.push({ start: startOf(expression.name), to });
        return to;
      }
    }
  };

  const emitRepeat = ({ of, min, max }: Expression & { kind: 'repeat' }, from: number): number => {
    let at = from;
    for (let i = 0; i < min; i++) at = emit(of, at);
    const to = node();
    if (max === undefined) {
      const loop = node();
      nodes[at]!.empty.push(loop);
      nodes[emit(of, loop)]!.empty.push(loop);
      nodes[loop]!.empty.push(to);
      return to;
    }
    for (let i = min; i < max; i++) {
      nodes[at]!.empty.push(to);
      const first = node();
      nodes[at]!.empty.push(first);
      at = emit(of, first);
    }
    nodes[at]!.empty.push(to);
    return to;
  };

  const start = node();
  pending.push({ body: root, start });
  for (let next = pending.pop(); next !== undefined; next = pending.pop())
    nodes[emit(next.body, next.start)]!.isEnd = true;
  return { nodes, start };
}
