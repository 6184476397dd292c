/** Where a value stands: keys and indexes from the top of the document. */
export type Path = readonly (string | number)[];

/** One mistake in a configuration, as it is shown to people. */
export interface Problem {
  /** The file, or the flag that gave the value. */
  readonly source: string;
  /** Counted from 1; undefined when the value comes from a flag or the file could not be read. */
  readonly position: Position | undefined;
  /** `pool.endpoints[1].address`; empty for the document as a whole. */
  readonly path: string;
  /** What was expected, what was found, what to change. */
  readonly message: string;
}

export interface Position {
  readonly line: number;
  readonly column: number;
}

/** All problems of one configuration at once. */
export class ConfigurationError extends Error {
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(problems.map(formatProblem).join('\n'));
    this.name = 'ConfigurationError';
    this.problems = problems;
  }
}

/** `pointsman.yaml:12:5  pool.endpoints[1].address: expected ...` */
export function formatProblem({ source, position, path, message }: Problem): string {
  const place = position === undefined ? source : `${source}:${position.line}:${position.column}`;
  return path === '' ? `${place}  ${message}` : `${place}  ${path}: ${message}`;
}

export function formatPath(path: Path): string {
  return path.map((key, at) => (typeof key === 'number' ? `[${key}]` : at === 0 ? key : `.${key}`)).join('');
}
