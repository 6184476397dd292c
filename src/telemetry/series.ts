/**
 * Series that cost an addition when something happens: counters and histograms are plain numbers, gauges are
 * functions, and Prometheus' text is made of them only when it is asked for.
 */

/** Label values in the order of the family's label names. */
export type LabelValues = readonly string[];

export interface FamilyOptions {
  readonly name: string;
  readonly help: string;
  readonly labelNames?: readonly string[];
}

/** One family of the exposition. */
export interface Family {
  /** Appends its lines, `# HELP` and `# TYPE` included; none while it has no series. */
  write(lines: string[]): void;
}

/** Mutable; whoever counts adds to `value`. */
export class Counter {
  value = 0;
}

/** By bucket, not cumulative. */
export interface HistogramCounts {
  readonly counts: readonly number[];
  readonly sum: number;
}

export class Histogram {
  sum = 0;
  readonly #bounds: readonly number[];
  /** Not cumulative; the last one counts what is above every bound. */
  readonly #counts: Float64Array;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const bounds = this.#bounds;
    let at = 0;
    while (at < bounds.length && value > bounds[at]!) at++;
    this.#counts[at]!++;
    this.sum += value;
  }

  /** Gives what was counted since the last time, and begins anew; undefined if nothing was. */
  take(): HistogramCounts | undefined {
    if (this.#counts.every((count) => count === 0)) return undefined;
    const taken = { counts: [...this.#counts], sum: this.sum };
    this.#counts.fill(0);
    this.sum = 0;
    return taken;
  }

  /** What another histogram with the same bounds has given away. */
  add({ counts, sum }: HistogramCounts): void {
    counts.forEach((count, at) => {
      if (at < this.#counts.length) this.#counts[at]! += count;
    });
    this.sum += sum;
  }

  write(lines: string[], name: string, labels: string): void {
    const comma = labels === '' ? '' : ',';
    let count = 0;
    this.#bounds.forEach((bound, at) => {
      count += this.#counts[at]!;
      lines.push(`${name}_bucket{${labels}${comma}le="${bound}"} ${count}`);
    });
    count += this.#counts[this.#bounds.length]!;
    lines.push(`${name}_bucket{${labels}${comma}le="+Inf"} ${count}`);
    lines.push(`${name}_sum${braced(labels)} ${this.sum}`, `${name}_count${braced(labels)} ${count}`);
  }
}

interface LabelledSeries<T> {
  readonly values: LabelValues;
  readonly series: T;
}

/** Series by their label values, one level for each. */
interface LabelNode<T> {
  readonly next: Map<string, LabelNode<T>>;
  known: LabelledSeries<T> | undefined;
}

function newNode<T>(): LabelNode<T> {
  return { next: new Map(), known: undefined };
}

function grown<T>(node: LabelNode<T>, value: string): LabelNode<T> {
  const child = newNode<T>();
  node.next.set(value, child);
  return child;
}

/** Takes the series out, and the branches that then hold none. */
function forget<T>(node: LabelNode<T>, values: LabelValues, at: number): void {
  const value = values[at];
  if (value === undefined) {
    node.known = undefined;
    return;
  }
  const child = node.next.get(value);
  if (child === undefined) return;
  forget(child, values, at + 1);
  if (child.known === undefined && child.next.size === 0) node.next.delete(value);
}

/** The series of one name, made when their labels are first met. */
abstract class SeriesFamily<T> implements Family {
  readonly name: string;
  readonly #help: string;
  readonly #labelNames: readonly string[];
  /** In the order in which they were met. */
  readonly #series = new Set<LabelledSeries<T>>();
  readonly #root: LabelNode<T> = newNode();

  constructor({ name, help, labelNames = [] }: FamilyOptions) {
    this.name = name;
    this.#help = help;
    this.#labelNames = labelNames;
  }

  /** The series with these labels. May be kept, unless the family forgets series. */
  of(...values: string[]): T {
    let node = this.#root;
    // Value by value: one key of all of them would have to be written, and hashed, each time.
    for (let i = 0; i < values.length; i++) node = node.next.get(values[i]!) ?? grown(node, values[i]!);
    if (node.known === undefined) {
      node.known = { values, series: this.create() };
      this.#series.add(node.known);
    }
    return node.known.series;
  }

  /** Each series with its label values. */
  *[Symbol.iterator](): Iterator<readonly [LabelValues, T]> {
    for (const { values, series } of this.#series) yield [values, series];
  }

  /** Drops the series whose value of this label does not hold any more. */
  retain(label: string, holds: (value: string) => boolean): void {
    const at = this.#labelNames.indexOf(label);
    for (const each of this.#series) {
      if (holds(each.values[at] ?? '')) continue;
      this.#series.delete(each);
      forget(this.#root, each.values, 0);
    }
  }

  write(lines: string[]): void {
    if (this.#series.size === 0) return;
    writeHead(lines, this.name, this.#help, this.type);
    for (const { values, series } of this.#series)
      this.writeSeries(lines, series, labelText(this.#labelNames, values));
  }

  protected abstract readonly type: string;
  protected abstract create(): T;
  protected abstract writeSeries(lines: string[], series: T, labels: string): void;
}

export class CounterFamily extends SeriesFamily<Counter> {
  protected readonly type = 'counter';

  protected create(): Counter {
    return new Counter();
  }

  protected writeSeries(lines: string[], { value }: Counter, labels: string): void {
    lines.push(`${this.name}${braced(labels)} ${value}`);
  }
}

export class HistogramFamily extends SeriesFamily<Histogram> {
  protected readonly type = 'histogram';
  readonly #bounds: readonly number[];

  constructor(options: FamilyOptions & { readonly bounds: readonly number[] }) {
    super(options);
    this.#bounds = options.bounds;
  }

  protected create(): Histogram {
    return new Histogram(this.#bounds);
  }

  protected writeSeries(lines: string[], series: Histogram, labels: string): void {
    series.write(lines, this.name, labels);
  }
}

/** Some figures are kept elsewhere and asked for, so that there is nothing to keep in step. */
export interface ReadOptions extends FamilyOptions {
  readonly read: () => Iterable<readonly [values: LabelValues, value: number]>;
}

export function gauge(options: ReadOptions): Family {
  return readFamily('gauge', options);
}

/** What is read never falls. */
export function readCounter(options: ReadOptions): Family {
  return readFamily('counter', options);
}

function readFamily(type: string, { name, help, labelNames = [], read }: ReadOptions): Family {
  return {
    write(lines) {
      const series = [...read()];
      if (series.length > 0) writeHead(lines, name, help, type);
      for (const [values, value] of series)
        lines.push(`${name}${braced(labelText(labelNames, values))} ${numberText(value)}`);
    },
  };
}

function writeHead(lines: string[], name: string, help: string, type: string): void {
  lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
}

function labelText(names: readonly string[], values: LabelValues): string {
  return names.map((name, at) => `${name}="${escaped(values[at] ?? '')}"`).join(',');
}

function escaped(value: string): string {
  return value.replace(/[\\\n"]/g, (character) => (character === '\n' ? '\\n' : `\\${character}`));
}

function braced(labels: string): string {
  return labels === '' ? '' : `{${labels}}`;
}

function numberText(value: number): string {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
}
