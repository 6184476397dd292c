import { Command } from 'commander';
import { addConfigurationFlags } from './configuration-flags.ts';

export function upCommand(): Command {
  const command = new Command('up').description(
    'Starts engines that serve a real model, the picker, the HTTP gateway, ext-proc gRPC, gRPC health and metrics on this machine. Ctrl-C stops all of it.',
  );
  addConfigurationFlags(command, [
    'pods',
    'model',
    'host',
    'port',
    'extProcPort',
    'healthPort',
    'metricsPort',
    'enginePortBase',
    'decisionLog',
    'logLevel',
    'logFormat',
  ]);
  return command
    .addHelpText('after', '\nExample:\n  pointsman up --pods 4 --port 8000')
    .action(async (options: object) => {
      const { runUp } = await import('./run-up.ts');
      await runUp(options);
    });
}
