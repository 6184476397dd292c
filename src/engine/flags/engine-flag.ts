import type { EngineOptions } from '../engine-options.ts';

export interface EngineFlag {
  /** As on the command line, without dashes; vLLM's name where vLLM has it. */
  readonly name: string;
  readonly option: Exclude<keyof EngineOptions, 'log' | 'onCrash' | 'model'>;
  /**
   * `size`: an integer that may end in k, K, m, M, g or G (lower case: thousands, upper case: 1024s).
   * `json`: a JSON object.
   */
  readonly type: 'string' | 'integer' | 'size' | 'number' | 'boolean' | 'list' | 'json';
  readonly choices?: readonly string[];
  /** Of a number. */
  readonly least?: number;
  readonly most?: number;
  readonly default: string | number | boolean | undefined;
  readonly help: string;
}

export type FlagValue = string | number | boolean | readonly string[] | object | undefined;
