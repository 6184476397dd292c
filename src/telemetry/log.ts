import pino from 'pino';
import { prettyLine } from './pretty-line.ts';

export const logLevels = ['error', 'warn', 'info', 'debug', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** `auto` is pretty on a terminal and JSON elsewhere. */
export const logFormats = ['auto', 'json', 'pretty'] as const;
export type LogFormat = (typeof logFormats)[number];

/**
 * The log that every room takes as a collaborator: fields first, then a fixed message. Errors go under `err`.
 * Never prompts, bodies or keys.
 */
export interface Log {
  error(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  info(fields: object, message: string): void;
  debug(fields: object, message: string): void;
}

export interface LogOptions {
  readonly level: LogLevel;
  readonly format: LogFormat;
  /** Where lines go; standard error by default, so that standard output stays for results. */
  readonly stream?: { write(text: string): unknown; readonly isTTY?: boolean };
}

export function createLog({ level, format, stream = process.stderr }: LogOptions): Log {
  const isPretty = format === 'pretty' || (format === 'auto' && stream.isTTY === true);
  const write = isPretty
    ? (line: string) => stream.write(prettyLine(line, stream.isTTY === true))
    : (line: string) => stream.write(line);
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: pino.stdSerializers.err },
    },
    { write },
  );
}

const nothing = () => {};
export const silentLog: Log = Object.freeze({ error: nothing, warn: nothing, info: nothing, debug: nothing });
