/** Policies without a score: the floor that every other must beat. */
import random from '../../scheduling/pickers/random.ts';
import roundRobin from '../../scheduling/pickers/round-robin.ts';
import type { Policy } from '../policy.ts';

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
