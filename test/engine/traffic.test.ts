import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { fuzzTraffic } from '../../bench/fuzz/fuzz-traffic.ts';
import { openTrafficTarget } from '../../bench/fuzz/traffic-target.ts';

const inRepository = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const addon = inRepository('build/pointsman_native.node');

test.for([
  ['drafts', false],
  ['two steps in flight', true],
] as const)(
  '3,000 requests through a crowded core with %s answer as alone and leave nothing behind',
  ([_, isAsync], { skip }) => {
    skip(!existsSync(addon), `${addon} is not built; run npm run build`);
    const target = openTrafficTarget(inRepository('test/fixtures'), isAsync);
    try {
      const { outcomes, failures } = fuzzTraffic({ seed: 5, from: 0, to: 3_000, target });
      expect(failures.flatMap(({ faults }) => faults)).toEqual([]);
      expect(outcomes.get('answered')).toBeGreaterThan(1_500);
      expect(outcomes.get('answered as alone')).toBeGreaterThan(20);
      expect(outcomes.get('left')).toBeGreaterThan(300);
      expect(outcomes.get('preempted')).toBeGreaterThan(50);
    } finally {
      target.close();
    }
  },
);
