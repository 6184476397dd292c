import type { Dialect } from './dialects.ts';
import type { Level } from './outcome.ts';
import type { Session } from './session.ts';

/** One thing that an endpoint picker must do, judged in each of the dialects. */
export interface ConformanceCase {
  /** Unique; `--only` matches it. */
  readonly id: string;
  /** A number is a clause of the protocol (proposal 004); others name the data plane's rule. */
  readonly clause: string;
  readonly title: string;
  readonly level: Level;
  /** `any`: has nothing to do with how a data plane speaks. */
  readonly dialects: readonly Dialect[] | 'any';
  /** Returns what was found, in words. Throws `Unmet` or `NotJudged`. */
  readonly run: (session: Session, dialect: Dialect) => Promise<string>;
}
