import { closeSync, openSync } from 'node:fs';
import { CommandError, exitCodes } from './exit-codes.ts';

/** Makes sure that a result can be written when it is there, before the work begins. `flag` named the file. */
export function checkWritable(flag: string, file: string | undefined): void {
  if (file === undefined) return;
  try {
    closeSync(openSync(file, 'a'));
  } catch (error) {
    throw new CommandError(
      `${flag}: ${file} cannot be written: ${(error as Error).message}`,
      exitCodes.usage,
    );
  }
}
