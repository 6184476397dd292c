import { fileURLToPath } from 'node:url';

export interface LiveProfile {
  readonly name: string;
  /** Of a configuration, beside its endpoints. */
  readonly yaml: string;
}

const picker = (name: string) => `profile: { scorers: [], picker: { name: ${JSON.stringify(name)} } }`;
const roundRobin = fileURLToPath(new URL('./round-robin.js', import.meta.url));

/** The first is what the others are compared with. */
export const profiles: readonly LiveProfile[] = [
  { name: 'llm-d-3-2-2', yaml: 'profile: { strategy: llm-d-3-2-2 }' },
  { name: 'round-robin', yaml: picker(roundRobin) },
  { name: 'default', yaml: '' },
  { name: 'shadow-price', yaml: 'profile: { strategy: shadow-price }' },
  {
    name: 'shadow-price, late binding',
    yaml: 'profile: { strategy: shadow-price }\nflowControl: { enabled: true }',
  },
];
