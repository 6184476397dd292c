import { durationMs } from '../../configuration/index.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';

/** Values as Go's flags are written. Each throws a `CommandError` that names the flag. */

export function goBoolean(flag: string, text: string): boolean {
  if (['1', 't', 'T', 'true', 'TRUE', 'True'].includes(text)) return true;
  if (['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(text)) return false;
  throw wrong(flag, 'true or false', text);
}

export function goInteger(flag: string, text: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  throw wrong(flag, 'a whole number', text);
}

/** `30s`, `1m30s`, as milliseconds. */
export function goDuration(flag: string, text: string): number {
  const value = durationMs(text);
  if (value !== undefined) return value;
  throw wrong(flag, 'a duration such as 200ms, 30s or 1m30s', text);
}

const unitBytes: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  K: 1000,
  M: 1000 ** 2,
  G: 1000 ** 3,
  KI: 1024,
  MI: 1024 ** 2,
  GI: 1024 ** 3,
};

/** `10MiB`, `25MB`, as bytes. */
export function byteSize(flag: string, text: string): number {
  const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?)\s*([a-zA-Z]*)$/.exec(text.trim()) ?? [];
  const factor = unitBytes[unit.toUpperCase().replace(/(?<=.)B$/, '')];
  if (number === '' || factor === undefined) throw wrong(flag, 'a size such as 10MiB', text);
  return Math.floor(Number(number) * factor);
}

export function wrong(flag: string, expected: string, text: string): CommandError {
  return new CommandError(`${flag}: expected ${expected}, found "${text}"`, exitCodes.usage);
}
