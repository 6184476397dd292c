import { closedLoop, type Load } from './loops.ts';
import type { ServerProcess } from './server-process.ts';

/** Short, so that the machine is the same for both of a pair. */
const sliceMs = 400;

/**
 * Two builds under the same full load in turn, slice by slice: on a machine whose speed changes, only the ratio of two
 * slices side by side tells anything. Prints the median of these ratios, and their quartiles.
 */
export async function printComparison(
  load: Omit<Load, 'port'>,
  streams: number,
  [base, changed]: readonly [ServerProcess, ServerProcess],
  pairs: number,
): Promise<void> {
  const cost = async (server: ServerProcess): Promise<number> => {
    const before = await server.ask('usage');
    const { finished } = await closedLoop({ ...load, port: server.port }, streams, sliceMs);
    const after = await server.ask('usage');
    return (after.cpuUs - before.cpuUs) / finished;
  };
  const costs: [number, number][] = [];
  for (let i = 0; i < pairs; i++) {
    const first = i % 2 === 0 ? base : changed;
    const second = first === base ? changed : base;
    const [one, other] = [await cost(first), await cost(second)];
    costs.push(first === base ? [one, other] : [other, one]);
  }
  const ratios = costs.map(([before, after]) => after / before).sort((a, b) => a - b);
  const at = (q: number): string => ratios[Math.floor(q * (pairs - 1))]!.toFixed(3);
  const median = (values: number[]): string =>
    values.sort((a, b) => a - b)[Math.floor(values.length / 2)]!.toFixed(1);
  const cells = [
    median(costs.map(([before]) => before)),
    median(costs.map(([, after]) => after)),
    at(0.5),
    `${at(0.25)} to ${at(0.75)}`,
    String(pairs),
  ];
  console.log(`| ${load.scenario.name} | ${cells.join(' | ')} |`);
}
