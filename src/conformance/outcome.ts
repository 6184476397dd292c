/** MUST fails the suite; SHOULD and INFO are only told. */
export type Level = 'MUST' | 'SHOULD' | 'INFO';

/** The picker did not do what the case asks. */
export class Unmet extends Error {
  readonly expected: string;
  readonly found: string;

  constructor(expected: string, found: string) {
    super(`Expected ${expected}, found ${found}.`);
    this.name = 'Unmet';
    this.expected = expected;
    this.found = found;
  }
}

/** The case says nothing about this picker, for a reason that a person can remove or accept. */
export class NotJudged extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'NotJudged';
  }
}

export function require(isMet: boolean, expected: string, found: string): asserts isMet {
  if (!isMet) throw new Unmet(expected, found);
}
