/**
 * llm-d's `no-hit-lru-scorer`: spreads cold prompts. A prompt of which some endpoint holds a block scores 0.5
 * everywhere; for a cold one the endpoint that got cold work longest ago scores 1, the latest 0, in even steps.
 * Remembers its own choices, so that two replicas do not know of each other.
 */
import { defineScorer, type Scorer } from 'pointsman/scheduling';

export default defineScorer({
  description: 'Prompts that no endpoint holds go to the endpoint that got one longest ago.',
  defaults: { lruSize: 1024 },
  create: ({ lruSize }): Scorer => {
    if (!(lruSize >= 1)) throw new Error(`lruSize is ${lruSize}; it must be at least 1`);
    /** Names of endpoints, the one with the oldest cold request first. */
    const used = new Set<string>();
    let isCold = false;
    const score: Scorer = (context, endpoints) => {
      isCold = endpoints.every((endpoint) => context.cachedTokens(endpoint) === 0);
      if (!isCold) return endpoints.map(() => 0.5);
      if (endpoints.length === 1) return [1];
      const positions = new Map([...used].map((name, at) => [name, at]));
      const fresh = endpoints.filter(({ name }) => !positions.has(name)).length;
      let next = 0;
      return endpoints.map(({ name }) => {
        const position = positions.get(name);
        const rank = position === undefined ? next++ : fresh + position;
        return Math.max(0, 1 - rank / (endpoints.length - 1));
      });
    };
    const chosen: NonNullable<Scorer['chosen']> = (_context, { name }) => {
      if (!isCold) return;
      used.delete(name);
      used.add(name);
      for (const oldest of used) {
        if (used.size <= lruSize) break;
        used.delete(oldest);
      }
    };
    return Object.assign(score, { chosen });
  },
});
