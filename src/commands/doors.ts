import type { LoadedConfiguration } from '../configuration/index.ts';
import type { WantedPort } from './free-ports.ts';

/** What a process can listen with; which of them are open depends on the command. */
export type Door = 'gateway' | 'extProc' | 'health' | 'metrics';

const doorNames: Readonly<Record<Door, { readonly owner: string; readonly flag: string }>> = {
  gateway: { owner: 'gateway', flag: '--port' },
  extProc: { owner: 'ext-proc', flag: '--ext-proc-port' },
  health: { owner: 'gRPC health', flag: '--health-port' },
  metrics: { owner: 'metrics', flag: '--metrics-port' },
};

export function wantedPorts(
  { configuration }: LoadedConfiguration,
  doors: readonly Door[],
): readonly WantedPort[] {
  return doors.map((door) => ({ ...configuration[door], ...doorNames[door] }));
}
