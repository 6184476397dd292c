import { answer, type Behaviour } from './fake-engine.ts';

/** Lets an engine answer one request at a time, when the test says so. */
export interface HeldAnswers {
  readonly behaviour: Behaviour;
  /** Requests that wait for `release`. */
  readonly count: number;
  /** Answers the request that has waited longest; false if none waits. */
  release(): boolean;
  /** Answers all that wait, and holds none from now on. */
  open(): void;
}

export function holdAnswers(answered: Behaviour = answer()): HeldAnswers {
  const held: (() => void)[] = [];
  let isOpen = false;
  return {
    behaviour: async (exchange) => {
      if (!isOpen) await new Promise<void>((resolve) => held.push(resolve));
      await answered(exchange);
    },
    get count() {
      return held.length;
    },
    release: () => {
      const next = held.shift();
      next?.();
      return next !== undefined;
    },
    open: () => {
      isOpen = true;
      for (const each of held.splice(0)) each();
    },
  };
}
