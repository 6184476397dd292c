import { describe, expect, it } from 'vitest';
import { enginePresets } from '../../src/simulation/engine-model.ts';
import type { Workload, WorkloadOptions } from '../../src/simulation/workload.ts';
import { findWorkload, workloads } from '../../src/simulation/workloads/index.ts';

function create(workload: Workload, changes: Partial<WorkloadOptions> = {}) {
  return workload.create({
    seed: 1,
    load: 0.9,
    pods: workload.pods,
    model: enginePresets[workload.preset],
    requestsPerSecond: undefined,
    share: 0.05,
    ...changes,
  });
}

const ids = (workload: Workload, seed: number) =>
  create(workload, { seed }).arrivals.map(({ arrivalMs, request }) => [arrivalMs, request.promptTokens]);

describe.each(workloads.map((workload) => [workload.name, workload] as const))(
  'workload %s',
  (_name, workload) => {
    it('has arrivals in order, of at least one token each way', () => {
      const { arrivals } = create(workload);
      expect(arrivals.length).toBeGreaterThan(0);
      for (let i = 1; i < arrivals.length; i++) {
        expect(arrivals[i]!.arrivalMs).toBeGreaterThanOrEqual(arrivals[i - 1]!.arrivalMs);
      }
      expect(arrivals.every((each) => each.request.promptTokens > 0 && each.outputTokens > 0)).toBe(true);
    });

    it('repeats for a seed and differs between seeds', () => {
      expect(ids(workload, 3)).toEqual(ids(workload, 3));
      expect(ids(workload, 3)).not.toEqual(ids(workload, 4));
    });
  },
);

describe('workloads', () => {
  it('replays the conversation trace at the rate that the load asks for, its 3 s batches spread', () => {
    const { arrivals } = create(findWorkload('trace-conversation'), { share: 1 });
    const lastMs = arrivals.at(-1)!.arrivalMs;
    expect((arrivals.length * 1000) / lastMs).toBeCloseTo(0.9 * 19.1, 1);
    const distinct = new Set(arrivals.map((each) => each.arrivalMs));
    expect(distinct.size).toBe(arrivals.length);
  });

  it('shares the system prompt within a group of b2b-saas and nothing between groups', () => {
    const { arrivals } = create(findWorkload('b2b-saas'), { share: 0.5 });
    const systems = new Set(arrivals.map(({ blocks }) => blocks.slice(0, 12).join()));
    const questions = new Set(arrivals.map(({ blocks }) => blocks.join()));
    expect(systems.size).toBe(150);
    expect(questions.size).toBe(750);
    expect(arrivals[0]!.request.promptTokens).toBe(7200);
  });

  it('grows the prompt of a session by its answer and the next question, keeping full blocks', () => {
    const source = create(findWorkload('code-generation'));
    const first = source.arrivals[0]!;
    const second = source.next?.(first, 1000);
    expect(second?.request.promptTokens).toBe(first.request.promptTokens + first.outputTokens + 1500);
    const full = Math.floor(first.request.promptTokens / 512);
    expect(second?.blocks.slice(0, full)).toEqual(first.blocks.slice(0, full));
    expect(second?.session).toBe(first.session);
  });

  it('lets one tenant send ten times its share in the middle', () => {
    const { arrivals } = create(findWorkload('tenants'), { share: 1 });
    const endMs = arrivals.at(-1)!.arrivalMs;
    const middle = arrivals.filter(({ arrivalMs }) => arrivalMs > 0.35 * endMs && arrivalMs < 0.65 * endMs);
    const flood = middle.filter(({ request }) => request.tenant === 'tenant-0').length;
    expect(flood / (middle.length - flood)).toBeGreaterThan(0.9);
  });

  it('names what it knows when a name is unknown', () => {
    expect(() => findWorkload('nothing')).toThrow(/"nothing" is unknown; known: trace-conversation, /);
  });
});
