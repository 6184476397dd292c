/** What a shell sees. */
export const exitCodes = {
  ok: 0,
  /** Something failed while running. */
  failure: 1,
  /** The command line or the configuration is wrong. */
  usage: 2,
} as const;

/** A failure that a person can act on; printed as one line, without a stack. */
export class CommandError extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode: number = exitCodes.failure) {
    super(message);
    this.name = 'CommandError';
    this.exitCode = exitCode;
  }
}
