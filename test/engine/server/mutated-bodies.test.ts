import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { fuzzRequests } from '../../../bench/fuzz/fuzz-requests.ts';
import { openRequestTarget } from '../../../bench/fuzz/request-target.ts';

const inRepository = (path: string) => fileURLToPath(new URL(`../../../${path}`, import.meta.url));
const addon = inRepository('build/pointsman_native.node');

test('2,000 mutated bodies are each answered or refused, and leave nothing behind', async ({ skip }) => {
  skip(!existsSync(addon), `${addon} is not built; run npm run build`);
  const target = await openRequestTarget({
    model: inRepository('config/models/pointsman-mini'),
    hasTokenizerThread: false,
  });
  try {
    const { outcomes, failures } = await fuzzRequests({ seed: 1, from: 0, to: 2_000, target });
    expect(failures.map(({ index, faults }) => `${index}: ${faults.join('; ')}`)).toEqual([]);
    // Far enough to be of use: past the parser, through the model, and away in the middle.
    expect(outcomes.get('400')).toBeGreaterThan(500);
    expect(outcomes.get('200')).toBeGreaterThan(100);
    expect(outcomes.get('the client left')).toBeGreaterThan(20);
  } finally {
    await target.close();
  }
}, 120_000);
