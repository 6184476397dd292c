import { Command } from 'commander';
import { addConfigurationFlags } from './configuration-flags.ts';

export function eppCommand(): Command {
  const command = new Command('epp').description(
    'Serves the Endpoint Picker Protocol (Envoy ext_proc over gRPC), gRPC health and metrics.',
  );
  addConfigurationFlags(command, [
    'endpoints',
    'endpointsFile',
    'host',
    'extProcPort',
    'healthPort',
    'metricsPort',
    'logLevel',
    'logFormat',
  ]);
  return command
    .addHelpText('after', '\nExample:\n  pointsman epp --endpoints 10.0.0.1:8000,10.0.0.2:8000')
    .action(async (options: object) => {
      const { serveCommand } = await import('./serve-command.ts');
      await serveCommand(options, ['extProc', 'health', 'metrics']);
    });
}
