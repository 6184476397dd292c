/** A place in a heap: the heap keeps `index` true, so that an item can leave from anywhere in O(log n). */
export interface HeapNode<T> {
  readonly item: T;
  key: number;
  /** -1 while it is in no heap. */
  index: number;
  /** Of equal keys the earlier added goes first. */
  order: number;
}

export function heapNode<T>(item: T, key: number): HeapNode<T> {
  return { item, key, index: -1, order: 0 };
}

/** Binary min-heap of nodes, each in at most one heap. */
export class IndexedHeap<T> {
  readonly #nodes: HeapNode<T>[] = [];
  #added = 0;

  get size(): number {
    return this.#nodes.length;
  }

  peek(): HeapNode<T> | undefined {
    return this.#nodes[0];
  }

  add(node: HeapNode<T>): void {
    node.order = this.#added++;
    node.index = this.#nodes.length;
    this.#nodes.push(node);
    this.#rise(node);
  }

  /** Does nothing if the node is in no heap. */
  remove(node: HeapNode<T>): void {
    const { index } = node;
    if (index < 0) return;
    node.index = -1;
    const last = this.#nodes.pop()!;
    if (last === node) return;
    this.#put(last, index);
    this.#rise(last);
    this.#sink(last);
  }

  rekey(node: HeapNode<T>, key: number): void {
    node.key = key;
    if (node.index < 0) return;
    this.#rise(node);
    this.#sink(node);
  }

  /** In no particular order. */
  *[Symbol.iterator](): Generator<T> {
    for (const { item } of this.#nodes) yield item;
  }

  #put(node: HeapNode<T>, index: number): void {
    this.#nodes[index] = node;
    node.index = index;
  }

  #rise(node: HeapNode<T>): void {
    while (node.index > 0) {
      const parent = this.#nodes[(node.index - 1) >> 1]!;
      if (!isBefore(node, parent)) return;
      const { index } = parent;
      this.#put(parent, node.index);
      this.#put(node, index);
    }
  }

  #sink(node: HeapNode<T>): void {
    for (;;) {
      const left = this.#nodes[2 * node.index + 1];
      const right = this.#nodes[2 * node.index + 2];
      if (left === undefined) return;
      const child = right !== undefined && isBefore(right, left) ? right : left;
      if (!isBefore(child, node)) return;
      const { index } = child;
      this.#put(child, node.index);
      this.#put(node, index);
    }
  }
}

function isBefore<T>(a: HeapNode<T>, b: HeapNode<T>): boolean {
  return a.key < b.key || (a.key === b.key && a.order < b.order);
}
