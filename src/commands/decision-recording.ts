import { resolve } from 'node:path';
import type { Configuration, LoadedConfiguration } from '../configuration/index.ts';
import { type DecisionRecord, decisionLine } from '../endpoint-picker/index.ts';
import { type DecisionLines, LineFeed, type Log, openDecisionLog } from '../telemetry/index.ts';
import { CommandError, exitCodes } from './exit-codes.ts';

export interface DecisionRecordingOptions {
  readonly loaded: LoadedConfiguration;
  readonly log: Log;
  /** Those that are kept, oldest first. */
  readonly decisions: () => readonly DecisionRecord[];
}

/** What becomes of decision records: lines for who asks, and a file if the configuration names one. */
export interface DecisionRecording {
  readonly onDecision: (record: DecisionRecord) => void;
  readonly lines: DecisionLines;
  /** Takes which headers to record, and whether to serve; the file stays. */
  reload(configuration: Configuration): void;
  close(): Promise<void>;
}

/** Rejects if the file cannot be written. */
export async function startDecisionRecording(options: DecisionRecordingOptions): Promise<DecisionRecording> {
  const { loaded, log, decisions } = options;
  let settings = loaded.configuration.decisions;
  const lineOf = (record: DecisionRecord) => decisionLine(record, settings.headers);
  const feed = new LineFeed(lineOf);
  const file = await openFile(loaded, log);
  if (file !== undefined) feed.follow(file.write);
  return {
    onDecision: (record) => feed.push(record),
    lines: {
      isServed: () => settings.served,
      recent: () => decisions().map(lineOf),
      follow: (onLine) => feed.follow(onLine),
    },
    reload: (configuration) => {
      settings = configuration.decisions;
    },
    close: async () => {
      // The last decision's line is made after the decision.
      await new Promise((made) => setImmediate(made));
      await file?.close();
    },
  };
}

async function openFile({ configuration, folder }: LoadedConfiguration, log: Log) {
  const { file } = configuration.decisions;
  if (file === undefined) return undefined;
  try {
    return await openDecisionLog(resolve(folder, file), log);
  } catch (error) {
    throw new CommandError((error as Error).message, exitCodes.usage);
  }
}
