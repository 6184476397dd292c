import { Command, CommanderError } from 'commander';
import { ConfigurationError } from '../configuration/index.ts';
import { checkCommand } from './check.ts';
import { engineCommand } from './engine.ts';
import { eppCommand } from './epp.ts';
import { CommandError, exitCodes } from './exit-codes.ts';
import { gatewayCommand } from './gateway.ts';
import { packageVersion } from './package-folder.ts';
import { simulateCommand } from './simulate.ts';
import { upCommand } from './up.ts';

/** Runs the command that `args` name; gives the exit code. Every error becomes one clear line. */
export async function runProgram(args: readonly string[]): Promise<number> {
  const program = createProgram();
  try {
    await program.parseAsync(args, { from: 'user' });
    return process.exitCode === undefined ? exitCodes.ok : Number(process.exitCode);
  } catch (error) {
    return report(error);
  }
}

function createProgram(): Command {
  const program = new Command('pointsman')
    .description('Sends every request to a large language model to the engine that will answer it soonest.')
    .version(packageVersion())
    .showHelpAfterError('Run `pointsman --help` for what there is.')
    .addHelpText('after', '\nRun `pointsman COMMAND --help` for the options of a command.');
  const commands = [
    upCommand(),
    eppCommand(),
    gatewayCommand(),
    engineCommand(),
    checkCommand(),
    simulateCommand(),
  ];
  for (const command of commands) program.addCommand(command);
  for (const command of [program, ...program.commands]) command.exitOverride();
  return program;
}

function report(error: unknown): number {
  // Commander has already printed its own.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  if (error instanceof ConfigurationError) {
    process.stderr.write(`${error.message}\n`);
    return exitCodes.usage;
  }
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`pointsman: ${message}\n`);
  if (error instanceof CommandError) return error.exitCode;
  if (error instanceof Error && error.stack !== undefined) process.stderr.write(`${error.stack}\n`);
  return exitCodes.failure;
}
