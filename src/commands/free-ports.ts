import { createServer } from 'node:net';
import { CommandError } from './exit-codes.ts';

/** A port that is about to be listened on. */
export interface WantedPort {
  readonly host: string;
  /** 0 = any free one; always fine. */
  readonly port: number;
  /** Who wants it, in the user's words: `gateway`. */
  readonly owner: string;
  /** The flag that changes it. */
  readonly flag: string;
}

/** Tries each port before anything slow starts. Throws with one line per port that cannot be had. */
export async function checkPorts(wanted: readonly WantedPort[]): Promise<void> {
  const complaints = await Promise.all(wanted.map(complaintAbout));
  const lines = complaints.filter((line) => line !== undefined);
  if (lines.length > 0) throw new CommandError(lines.join('\n'));
}

async function complaintAbout({ host, port, owner, flag }: WantedPort): Promise<string | undefined> {
  if (port === 0) return undefined;
  const code = await tryPort(host, port);
  switch (code) {
    case undefined:
      return undefined;
    case 'EADDRINUSE':
      return `port ${port} is in use (${owner}); choose another with ${flag}`;
    case 'EACCES':
      return `port ${port} (${owner}) needs more rights; choose one above 1023 with ${flag}`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `${host} is no address of this machine (${owner}); choose another with --host`;
    default:
      return `port ${port} on ${host} cannot be used (${owner}): ${code}; choose another with ${flag}`;
  }
}

/** The error's code, or undefined if the port can be listened on. */
function tryPort(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ host, port }, () => server.close(() => resolve(undefined)));
  });
}
