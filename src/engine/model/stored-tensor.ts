/** Where a tensor lies in a file, checked against the file's size. */
export interface StoredTensor {
  readonly name: string;
  readonly dtype: string;
  /** Slowest dimension first. */
  readonly shape: readonly number[];
  /** Index into the list of files. */
  readonly file: number;
  /** Bytes from the start of the file. */
  readonly offset: number;
}

/** All tensors of a checkpoint, by name. */
export interface StoredTensors {
  readonly files: readonly string[];
  readonly tensors: ReadonlyMap<string, StoredTensor>;
}
