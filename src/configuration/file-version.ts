import { statSync } from 'node:fs';

/** Changes whenever the file does; undefined while there is none. */
export function fileVersion(path: string | undefined): string | undefined {
  const stat = path === undefined ? undefined : statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? undefined : `${stat.mtimeMs} ${stat.ino} ${stat.size}`;
}
