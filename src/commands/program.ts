import { Command, CommanderError } from 'commander';
import { ConfigurationError } from '../configuration/problems.ts';
import { CommandError, exitCodes } from './exit-codes.ts';
import { packageVersion } from './package-folder.ts';

interface LazyCommand {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<Command>;
}

/** Runs the command that `args` name; gives the exit code. Every error becomes one clear line. */
export async function runProgram(args: readonly string[]): Promise<number> {
  const program = await createProgram(args[0]);
  try {
    // Templates of Kubernetes manifests leave empty arguments.
    await program.parseAsync(
      args.filter((arg) => arg !== ''),
      { from: 'user' },
    );
    return process.exitCode === undefined ? exitCodes.ok : Number(process.exitCode);
  } catch (error) {
    return report(error);
  }
}

/** A command is loaded only when it is asked for: engines start faster without the gateway's code. */
const commands: readonly LazyCommand[] = [
  {
    name: 'up',
    summary: 'everything on this machine: engines, picker, gateway',
    load: async () => (await import('./up.ts')).upCommand(),
  },
  {
    name: 'epp',
    summary: 'the Endpoint Picker for Envoy',
    load: async () => (await import('./epp.ts')).eppCommand(),
  },
  {
    name: 'gateway',
    summary: 'the embedded OpenAI-compatible HTTP gateway',
    load: async () => (await import('./gateway.ts')).gatewayCommand(),
  },
  {
    name: 'engine',
    summary: 'serve one model',
    load: async () => (await import('./engine.ts')).engineCommand(),
  },
  {
    name: 'check',
    summary: 'validate a configuration file',
    load: async () => (await import('./check.ts')).checkCommand(),
  },
  {
    name: 'simulate',
    summary: 'try policies or configurations on a simulated fleet',
    load: async () => (await import('./simulate.ts')).simulateCommand(),
  },
  {
    name: 'replay',
    summary: 'make recorded decisions again with another configuration',
    load: async () => (await import('./replay.ts')).replayCommand(),
  },
  {
    name: 'conformance',
    summary: 'judge any endpoint picker by the protocol',
    load: async () => (await import('./conformance.ts')).conformanceCommand(),
  },
];

async function createProgram(name: string | undefined): Promise<Command> {
  const program = new Command('pointsman')
    .description('Sends every request to a large language model to the engine that will answer it soonest.')
    .version(packageVersion())
    .showHelpAfterError('Run `pointsman --help` for what there is.')
    .helpCommand(false)
    .addHelpText('after', '\nRun `pointsman COMMAND --help` for the options of a command.');
  for (const each of commands)
    program.addCommand(each.name === name ? await each.load() : new Command(each.name).summary(each.summary));
  for (const command of program.commands)
    command.showHelpAfterError(`Run \`pointsman ${command.name()} --help\` for its options.`);
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
