import { z } from 'zod';
import { extProc, gateway, health, metrics, shutdown } from './schema/doors.ts';
import { pool, prefixIndex } from './schema/pool.ts';
import { decisions, log, up } from './schema/process.ts';
import { profile } from './schema/profile.ts';
import { flowControl, modelRewrites, objective } from './schema/requests.ts';

/**
 * The single source of the configuration's type, its defaults, its messages and `config/pointsman.schema.json`: one
 * file per part of it. Every object is strict: an unknown key is a mistake, not a wish.
 */
export const configurationSchema = z
  .strictObject({
    gateway,
    extProc,
    health,
    metrics,
    shutdown,
    pool,
    profile,
    flowControl,
    decisions,
    prefixIndex,
    objectives: z
      .record(z.string(), objective)
      .default({})
      .describe('Each inference objective: its priority, or its priority and targets.'),
    modelRewrites,
    log,
    up,
  })
  .describe('Configuration of Pointsman.');

type Parsed = z.output<typeof configurationSchema>;

/** Validated, complete, frozen. */
export type Configuration = DeepReadonly<
  Omit<Parsed, 'flowControl'> & {
    flowControl: Omit<Parsed['flowControl'], 'enabled'> & { enabled: boolean };
  }
>;

type DeepReadonly<T> = T extends (infer Item)[]
  ? readonly DeepReadonly<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: DeepReadonly<T[Key]> }
    : T;
