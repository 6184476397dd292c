import { Command, CommanderError } from 'commander';
import { type LlmDOptions, llmDFlagsHelp, readLlmDFlags } from './read-flags.ts';

/** A command that takes llm-d's flags out of its arguments before it reads its own. */
export class LlmDCompatibleCommand extends Command {
  llmD: LlmDOptions = readLlmDFlags([]).llmD;

  override parseOptions(args: string[]): { operands: string[]; unknown: string[] } {
    if (args.includes('--help-compat')) {
      process.stdout.write(llmDFlagsHelp());
      throw new CommanderError(0, 'pointsman.helpCompat', '');
    }
    const { rest, llmD } = readLlmDFlags(args);
    this.llmD = llmD;
    return super.parseOptions([...rest]);
  }
}
