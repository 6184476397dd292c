import { Command, Option } from 'commander';
import { type EngineFlag, engineFlags, flagsNotServed, flagsWithoutMeaning } from '../engine/flags/index.ts';
import { logFormats, logLevels } from '../telemetry/index.ts';

export function engineCommand(): Command {
  const command = new Command('engine')
    .description("Serves one model over HTTP with vLLM's endpoints, metrics and flags.")
    .argument('<model>', 'folder with config.json, safetensors and tokenizer.json, or a .gguf file');
  for (const flag of engineFlags) for (const option of optionsOf(flag)) command.addOption(option);
  for (const name of flagsWithoutMeaning) command.addOption(new Option(`--${name}`).hideHelp());
  for (const name of Object.keys(flagsNotServed))
    command.addOption(new Option(`--${name} <value>`).hideHelp());
  return command
    .addOption(new Option('--log-level <level>').choices(logLevels).default('info'))
    .addOption(new Option('--log-format <format>').choices(logFormats).default('auto'))
    .addHelpText('after', '\nExample:\n  pointsman engine config/models/pointsman-mini --port 8000')
    .action(async (model: string, flags: object) => {
      const { runEngine } = await import('./run-engine.ts');
      await runEngine(model, flags);
    });
}

function optionsOf({ name, type, choices, default: usual, help }: EngineFlag): readonly Option[] {
  const hint = usual === undefined ? '' : ` (${usual})`;
  if (type === 'boolean')
    return [new Option(`--${name}`, `${help}${hint}`), new Option(`--no-${name}`, '')].map((option) =>
      option.long?.startsWith('--no-') ? option.hideHelp() : option,
    );
  const option = new Option(`--${name} <${type === 'string' ? 'text' : type}>`, `${help}${hint}`);
  return [choices === undefined ? option : option.choices(choices)];
}
