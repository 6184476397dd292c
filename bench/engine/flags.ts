import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';

/** Flags that benches of the engine share. */
export const threadsFlag = {
  type: 'string',
  default: String(Math.min(2, availableParallelism())),
  help: 'Threads that compute.',
} as const;

export const modelsFlag = {
  type: 'string',
  default: join(tmpdir(), 'pointsman-bench-models'),
  help: 'Folder of the random models, made when missing.',
} as const;

export const peersFlag = {
  type: 'string',
  default: join(tmpdir(), 'pointsman-bench-peers'),
  help: 'Folder of the engines that ours is compared with.',
} as const;
