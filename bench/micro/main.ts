/**
 * The hot path of a decision, operation by operation. Prints one table.
 *
 *     node src/commands/build.mjs && node dist/bench/micro/main.js [name ...]
 *
 * Names choose operations; without any all run. Imports the rooms it measures and nothing of commands.
 */
import { cpus, loadavg } from 'node:os';
import { readFlags } from '../read-flags.ts';
import { measure, type Timing } from './measure.ts';
import { operations } from './operations.ts';
import { waitingOperations } from './waiting.ts';

const all = [...operations, ...waitingOperations];
const { positionals: wanted } = readFlags(
  {
    command: 'npm run bench:micro',
    what: `The parts of a decision; names choose among ${[...new Set(all.map(({ op }) => op))].join(', ')}.`,
    positionals: '[NAME ...]',
  },
  {},
);
const chosen = all.filter(({ op }) => wanted.length === 0 || wanted.some((name) => op.includes(name)));
if (chosen.length === 0) {
  console.error(
    `no operation is called ${wanted.join(', ')}; there are ${all.map(({ op }) => op).join(', ')}`,
  );
  process.exit(1);
}

const { length: cores, 0: core } = cpus();
const machine = `node ${process.version}, ${cores} x ${core?.model ?? 'unknown processor'}`;
console.log(`${machine}, load average ${loadavg()[0]?.toFixed(1)}\n`);
console.log('| op | tokens | endpoints | p50 us | p99 us | ops/s |');
console.log('| --- | ---: | ---: | ---: | ---: | ---: |');
for (const { op, tokens, endpoints, prepare } of chosen) {
  const { p50Us, p99Us, perSecond }: Timing = await measure(prepare());
  const cells = [
    op,
    tokens ?? '',
    endpoints ?? '',
    p50Us.toFixed(1),
    p99Us.toFixed(1),
    Math.round(perSecond),
  ];
  console.log(`| ${cells.join(' | ')} |`);
}
