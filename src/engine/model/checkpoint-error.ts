/** A checkpoint folder that cannot be served. The message names the file, what was expected and what was found. */
export class CheckpointError extends Error {
  override readonly name = 'CheckpointError';
}
