import type { Command } from 'commander';
import { addConfigurationFlags } from './configuration-flags.ts';
import { LlmDCompatibleCommand } from './llm-d/epp-command.ts';

export function eppCommand(): Command {
  const command = new LlmDCompatibleCommand('epp').description(
    'Serves the Endpoint Picker Protocol (Envoy ext_proc over gRPC), gRPC health and metrics.',
  );
  addConfigurationFlags(command, [
    'endpoints',
    'endpointsFile',
    'host',
    'extProcPort',
    'extProcWorkers',
    'tls',
    'tlsCert',
    'tlsKey',
    'healthPort',
    'metricsPort',
    'decisionLog',
    'drainDelay',
    'logLevel',
    'logFormat',
  ]);
  return command
    .option('--help-compat', "list the flags of llm-d's picker, which are accepted too")
    .addHelpText('after', '\nExample:\n  pointsman epp --endpoints 10.0.0.1:8000,10.0.0.2:8000')
    .action(async (options: object) => {
      const { serveCommand } = await import('./serve-command.ts');
      await serveCommand(options, ['extProc', 'health', 'metrics'], command.llmD);
    });
}
