import { Command } from 'commander';
import { addConfigurationFlags } from './configuration-flags.ts';
import type { Door } from './doors.ts';

export function gatewayCommand(): Command {
  const command = new Command('gateway').description(
    'Serves the OpenAI-compatible HTTP gateway and metrics; with --ext-proc the Endpoint Picker too.',
  );
  addConfigurationFlags(command, [
    'endpoints',
    'endpointsFile',
    'host',
    'port',
    'metricsPort',
    'extProcPort',
    'healthPort',
    'decisionLog',
    'drainDelay',
    'logLevel',
    'logFormat',
  ]);
  return command
    .option('--ext-proc', 'serve ext-proc gRPC and gRPC health as well')
    .addHelpText(
      'after',
      '\nExample:\n  pointsman gateway --endpoints 10.0.0.1:8000,10.0.0.2:8000 --port 8080',
    )
    .action(async (options: { extProc?: boolean }) => {
      const doors: Door[] = ['gateway', 'metrics'];
      if (options.extProc === true) doors.push('extProc', 'health');
      const { serveCommand } = await import('./serve-command.ts');
      await serveCommand(options, doors);
    });
}
