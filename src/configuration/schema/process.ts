import { z } from 'zod';
import { logFormats, logLevels } from '../../telemetry/log.ts';

export const decisions = z
  .strictObject({
    kept: z
      .int()
      .min(0)
      .max(100_000)
      .default(256)
      .describe('Decision records kept in memory, the last ones.'),
    served: z
      .boolean()
      .default(false)
      .describe('Serve them at /decisions on the metrics port; they name endpoints, tenants and sessions.'),
    file: z.string().min(1).optional().describe('Append each decision to this file, as JSON Lines.'),
    headers: z
      .array(z.string().regex(/^[a-z0-9-]+$/, { error: 'expected a header name in lower case' }))
      .default([])
      .describe(
        'Further request headers to record: those that plugins of your own read. Never keys or cookies.',
      ),
  })
  .prefault({})
  .describe('Records of what was chosen and why; `pointsman replay` makes the choices again.');

export const log = z
  .strictObject({
    level: z.enum(logLevels).default('info'),
    format: z.enum(logFormats).default('auto').describe('`auto` is pretty on a terminal and JSON elsewhere.'),
  })
  .prefault({})
  .describe('Log lines on standard error.');

export const up = z
  .strictObject({
    pods: z.int().min(1).max(64).default(2).describe('Engines to start.'),
    model: z.string().min(1).optional().describe('Model folder; the bundled small model by default.'),
    enginePortBase: z
      .int()
      .min(0)
      .max(65535)
      .default(8100)
      .describe('Port of the first engine; the next take the following ones. 0 = any free ones.'),
    engineArgs: z
      .array(z.string())
      .default([])
      .describe('Further arguments of each engine; see `pointsman engine --help`.'),
  })
  .prefault({})
  .describe('What `pointsman up` starts beside the gateway.');
