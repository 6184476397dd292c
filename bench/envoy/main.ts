import { parseArgs } from 'node:util';
import { disturbances } from './disturbances.ts';
import { envoyMissing, installedEnvoys } from './installed-envoys.ts';
import { runSoak, type SoakPlan, type SoakReport } from './soak.ts';

/** Soaks the whole chain in front of each installed Envoy; prints one row for each scenario. */

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    clients: { type: 'string', default: '50' },
    envoy: { type: 'string' },
    only: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

type Scenario = Omit<SoakPlan, 'envoy' | 'clients' | 'durationMs' | 'random'>;

const calmMs = 3_000;
/** From the second quarter to the last; a heap of Node settles within this. */
const mayGrow = 1.3;
const duplex = { config: 'standalone', mode: 'FULL_DUPLEX_STREAMED' } as const;
const scenarios: Readonly<Record<string, Scenario>> = {
  'standalone duplex': duplex,
  'standalone buffered': { config: 'standalone', mode: 'BUFFERED' },
  'override-host duplex': { config: 'override-host', mode: 'FULL_DUPLEX_STREAMED' },
  'picker killed x5': { ...duplex, disturb: disturbances.pickerKilled(5, calmMs) },
  'pickers replaced x4': { ...duplex, pickers: 2, disturb: disturbances.pickersReplaced(4, calmMs) },
  'engine killed x4': { ...duplex, disturb: disturbances.engineKilled(4, calmMs) },
  'engine killed x4, retries': {
    config: 'override-host',
    mode: 'FULL_DUPLEX_STREAMED',
    disturb: disturbances.engineKilled(4, calmMs),
  },
};

if (values.help) {
  console.log(`usage: npm run bench:envoy -- [--seconds 60] [--clients 50] [--envoy 1.39.0] [--only NAME]
NAME is the beginning of one of: ${Object.keys(scenarios).join(', ')}`);
  process.exit(0);
}

const envoys = installedEnvoys().filter(
  ({ version }) => values.envoy === undefined || version === values.envoy,
);
if (envoys.length === 0) {
  console.error(values.envoy === undefined ? envoyMissing : `Envoy ${values.envoy} is not installed`);
  process.exit(2);
}

console.log(
  '| Envoy | scenario | requests | /s | streamed | MB sent | retried | mismatches | corrupt | failures | excused | in flight after | picker MB |',
);
console.log('|---|---|---|---|---|---|---|---|---|---|---|---|---|');
const wrong: string[] = [];
for (const envoy of envoys) {
  for (const [name, scenario] of Object.entries(scenarios)) {
    if (!name.startsWith(values.only ?? '')) continue;
    const report = await runSoak({
      ...scenario,
      envoy,
      clients: Number(values.clients),
      durationMs: Number(values.seconds) * 1000,
      random: Math.random,
    });
    print(`${envoy.version} | ${name}`, report);
  }
}
for (const line of wrong) console.log(line);
process.exitCode = wrong.length > 0 ? 1 : 0;

function print(title: string, report: SoakReport): void {
  const { mismatches, corrupt, failures, excused, memoryMb, leftInFlight } = report;
  const excuses = [...excused].map(([status, count]) => `${count} x ${status === 0 ? 'cut' : status}`);
  const cells = [
    report.requests,
    report.perSecond.toFixed(0),
    report.streamed,
    report.megabytes.toFixed(0),
    report.retried,
    mismatches.length,
    corrupt.length,
    failures.length,
    excuses.join(', ') || 0,
    leftInFlight,
    memoryMb.some(Number.isNaN) ? 'replaced' : memoryMb.map((each) => each.toFixed(0)).join(' → '),
  ];
  console.log(`| ${title} | ${cells.join(' | ')} |`);
  for (const [kind, list] of Object.entries({ mismatches, corrupt, failures }))
    for (const line of list.slice(0, 5)) wrong.push(`${title}: ${kind}: ${line}`);
  const [second, last] = memoryMb;
  if (last > second * mayGrow) wrong.push(`${title}: the picker's memory grows`);
  if (leftInFlight !== 0) wrong.push(`${title}: ${leftInFlight} requests are in flight for ever`);
}
