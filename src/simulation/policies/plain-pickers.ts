/** Policies without a score: the floor that every other must beat. */

import random from '../../scheduling/pickers/random.ts';
import { definePicker } from '../../scheduling/plugins.ts';
import type { Policy } from '../policy.ts';

/** Takes the endpoints in turn; the rest follow in the same order as fallbacks. */
export const roundRobin = definePicker({
  description: 'Takes the candidates in turn.',
  create: () => {
    let turn = 0;
    return (_context, scored) => {
      const first = turn++ % scored.length;
      return [...scored.slice(first), ...scored.slice(0, first)];
    };
  },
});

export const plainPolicies: readonly Policy[] = [
  {
    name: 'random',
    description: 'any endpoint with equal chance',
    create: () => ({
      residency: 'approximate',
      profile: {
        name: 'random',
        filters: [],
        scorers: [],
        picker: { name: 'random', picker: random.create({}) },
      },
    }),
  },
  {
    name: 'round-robin',
    description: 'endpoints in turn',
    create: () => ({
      residency: 'approximate',
      profile: {
        name: 'round-robin',
        filters: [],
        scorers: [],
        picker: { name: 'round-robin', picker: roundRobin.create({}) },
      },
    }),
  },
];
