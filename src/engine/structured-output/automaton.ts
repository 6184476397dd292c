import type { Grammar } from './grammar.ts';

/** Where the callers of a rule go on; a stack as a linked list, each list stored once. */
interface Frame {
  readonly node: number;
  readonly parent: number;
  readonly depth: number;
}

/** One state: everything that may come next after some text. */
interface State {
  /** Pairs of (node, frame); each node has byte edges. */
  readonly places: readonly (readonly [node: number, frame: number])[];
  readonly isAccepting: boolean;
  /** By byte: the next state, `unknown` or `dead`. */
  readonly next: Int32Array;
}

export const dead = -1;
const unknown = -2;
const outermost = -1;
const maxDepth = 256;
/** Some patterns have more states than memory has room for: what lies beyond these counts as `dead`. */
const maxStates = 20_000;
const maxPlaces = 500_000;
const maxFrames = 500_000;
/** Of one state, on the way to it: rules that begin with each other in several ways double at every level. */
const maxVisited = 200_000;

/**
 * Runs a grammar byte by byte. Sets of (node, stack) are made into numbered states as they are met, so a state
 * that was met once costs one array look-up per byte from then on. Nesting deeper than `maxDepth` is refused.
 */
export class Automaton {
  /** `dead` if the grammar allows no text, or is too ambiguous before its first byte. */
  readonly start: number;
  readonly #grammar: Grammar;
  readonly #frames: Frame[] = [];
  readonly #frameIds = new Map<number, number>();
  readonly #states: State[] = [];
  readonly #stateIds = new Map<string, number>();
  /** Of all states together. */
  #places = 0;

  constructor(grammar: Grammar) {
    this.#grammar = grammar;
    this.start = this.#intern([[grammar.start, outermost]]);
  }

  /** How much of the room for states is taken, 0 to 1. */
  get fullness(): number {
    return Math.max(
      this.#states.length / maxStates,
      this.#places / maxPlaces,
      this.#frames.length / maxFrames,
    );
  }

  isAccepting(state: number): boolean {
    return this.#states[state]!.isAccepting;
  }

  /** Nothing may follow. */
  isOver(state: number): boolean {
    return this.#states[state]!.places.length === 0;
  }

  /** The state after one more byte; `dead` if it may not come. */
  step(state: number, byte: number): number {
    const { next, places } = this.#states[state]!;
    const known = next[byte]!;
    if (known !== unknown) return known;
    const reached: [number, number][] = [];
    for (const [node, frame] of places)
      for (const { first, last, to } of this.#grammar.nodes[node]!.bytes)
        if (byte >= first && byte <= last) reached.push([to, frame]);
    const found = reached.length === 0 || this.fullness >= 1 ? dead : this.#intern(reached);
    next[byte] = found;
    return found;
  }

  /** The state of everything that can be reached from these places without reading; `dead` if that is too much. */
  #intern(from: readonly (readonly [node: number, frame: number])[]): number {
    const { nodes } = this.#grammar;
    const seen = new Map<number, readonly [number, number]>();
    const pending = [...from];
    let isAccepting = false;
    const visit = (node: number, frame: number) => {
      const key = (frame + 1) * nodes.length + node;
      if (seen.has(key)) return;
      seen.set(key, [node, frame]);
      pending.push([node, frame]);
    };
    for (const place of from) seen.set((place[1] + 1) * nodes.length + place[0], place);
    for (let place = pending.pop(); place !== undefined; place = pending.pop()) {
      const [at, frame] = place;
      const { empty, calls, isEnd } = nodes[at]!;
      for (const to of empty) visit(to, frame);
      for (const { start, to } of calls) {
        const inner = this.#isTail(to) ? frame : this.#frame(to, frame);
        if (inner !== undefined) visit(start, inner);
      }
      if (seen.size > maxVisited) return dead;
      if (!isEnd) continue;
      if (frame === outermost) isAccepting = true;
      else visit(this.#frames[frame]!.node, this.#frames[frame]!.parent);
    }
    const keys = [...seen].filter(([, [node]]) => nodes[node]!.bytes.length > 0).sort(([a], [b]) => a - b);
    if (keys.length === 0 && !isAccepting) return dead;
    const id = `${isAccepting}${keys.map(([key]) => key).join()}`;
    const known = this.#stateIds.get(id);
    if (known !== undefined) return known;
    const places = keys.map(([, place]) => place);
    this.#places += places.length;
    this.#states.push({ places, isAccepting, next: new Int32Array(256).fill(unknown) });
    this.#stateIds.set(id, this.#states.length - 1);
    return this.#states.length - 1;
  }

  /** Nothing is left to do at this node but to return: a rule called last needs no frame of its own. */
  #isTail(node: number): boolean {
    let at = node;
    for (let steps = 0; steps < maxDepth; steps++) {
      const { bytes, calls, empty, isEnd } = this.#grammar.nodes[at]!;
      if (bytes.length > 0 || calls.length > 0) return false;
      if (isEnd) return empty.length === 0;
      if (empty.length !== 1) return false;
      at = empty[0]!;
    }
    return false;
  }

  /** Undefined beyond `maxDepth`. */
  #frame(node: number, parent: number): number | undefined {
    const depth = parent === outermost ? 1 : this.#frames[parent]!.depth + 1;
    if (depth > maxDepth) return undefined;
    const key = (parent + 1) * this.#grammar.nodes.length + node;
    const known = this.#frameIds.get(key);
    if (known !== undefined) return known;
    this.#frames.push({ node, parent, depth });
    this.#frameIds.set(key, this.#frames.length - 1);
    return this.#frames.length - 1;
  }
}
