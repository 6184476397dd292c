import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { loadSync, type Options } from '@grpc/proto-loader';

/** No defaults: absent fields stay absent. `oneofs` names the case that is set. */
const options: Options = { keepCase: false, longs: Number, enums: String, defaults: false, oneofs: true };

export interface ServiceDefinitions {
  readonly externalProcessor: ServiceDefinition;
  readonly health: ServiceDefinition;
}

/** Reads the protos from the package's `proto/`; takes some tens of milliseconds. */
export function loadServiceDefinitions(): ServiceDefinitions {
  const definitions = loadSync(
    ['envoy/service/ext_proc/v3/external_processor.proto', 'grpc/health/v1/health.proto'],
    { ...options, includeDirs: [join(packageRoot(), 'proto')] },
  );
  return {
    externalProcessor: definitions['envoy.service.ext_proc.v3.ExternalProcessor'] as ServiceDefinition,
    health: definitions['grpc.health.v1.Health'] as ServiceDefinition,
  };
}

/** The nearest folder above that holds `proto/`: this file runs from `src/` and from `dist/src/`. */
function packageRoot(): string {
  const start = dirname(fileURLToPath(import.meta.url));
  for (let folder = start; ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'proto', 'grpc', 'health', 'v1', 'health.proto'))) return folder;
    if (folder === dirname(folder)) throw new Error(`Expected a folder proto/ above ${start}, found none.`);
  }
}
