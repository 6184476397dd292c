import { writeFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import {
  caseTable,
  type DialectFamily,
  defaultEndpoints,
  dialectFamilies,
  EchoBackends,
  failedByLevel,
  failureLines,
  hostAndPort,
  isFailedMust,
  jsonReport,
  resultTable,
  runRows,
  Session,
  selectRows,
  summaryLine,
} from '../conformance/index.ts';
import { CommandError, exitCodes } from './exit-codes.ts';
import { collect, countingNumber } from './flag-values.ts';
import { checkWritable } from './writable-file.ts';

interface ConformanceFlags {
  readonly tls?: boolean;
  readonly only?: RegExp;
  readonly dialect: readonly DialectFamily[];
  readonly json?: string;
  readonly timeoutMs: number;
  readonly warmUpMs: number;
  readonly endpoint: readonly string[];
  readonly health?: string;
  readonly model: string;
  readonly fallbacks?: boolean;
  readonly sheds?: string | true;
  readonly list?: boolean;
}

export function conformanceCommand(): Command {
  return new Command('conformance')
    .summary('judge any endpoint picker by the protocol')
    .description(
      'Plays data planes against an endpoint picker, and judges its answers by the clauses of the Endpoint Picker ' +
        'Protocol and by what each data plane does with them. Starts the endpoints of its pool itself.',
    )
    .argument('[address]', 'host:port of the endpoint picker')
    .option('--tls', 'speak TLS, and accept any certificate, as data planes do')
    .addOption(new Option('--plaintext', 'speak plain text (the default)').conflicts('tls'))
    .option('--only <pattern>', 'only cases whose id, title or dialect match', pattern)
    .addOption(
      new Option('--dialect <name>', 'only as this data plane speaks; may be repeated')
        .choices(dialectFamilies)
        .argParser(dialect)
        .default([], 'all'),
    )
    .option('--json <file>', 'write a report')
    .option('--timeout-ms <ms>', 'patience with each answer', countingNumber, 5000)
    .option('--warm-up-ms <ms>', 'patience with the first pick', countingNumber, 15_000)
    .addOption(
      new Option('--endpoint <address>', 'an endpoint of its pool; may be repeated')
        .argParser(collect)
        .default([], defaultEndpoints.join(', ')),
    )
    .option('--health <address>', 'where its health service listens, if elsewhere')
    .option('--model <name>', 'the model that requests name', 'conformance')
    .option('--fallbacks', 'the picker is set up to name a list of endpoints')
    .option(
      '--sheds [objective]',
      'it is set up to turn requests away while its endpoints are full: all, or those with this objective',
    )
    .option('--list', 'print the cases and stop')
    .addHelpText('after', helpText)
    .action(run);
}

async function run(address: string | undefined, flags: ConformanceFlags): Promise<void> {
  const rows = selectRows({ only: flags.only, families: flags.dialect });
  if (rows.length === 0) throw new CommandError('no case matches; see --list', exitCodes.usage);
  if (flags.list) {
    process.stdout.write(`${caseTable(rows)}\n${rows.length} cases\n`);
    return;
  }
  if (address === undefined) {
    throw new CommandError(
      'give the address of the endpoint picker, such as 127.0.0.1:9002',
      exitCodes.usage,
    );
  }
  checkWritable('--json', flags.json);
  const endpoints = flags.endpoint.length > 0 ? flags.endpoint : defaultEndpoints;
  const backends = new EchoBackends(flags.model);
  const session = new Session({
    target: { ...addressOf(address), usesTls: flags.tls ?? false },
    health: flags.health === undefined ? undefined : { ...addressOf(flags.health), usesTls: false },
    timeoutMs: flags.timeoutMs,
    warmUpMs: flags.warmUpMs,
    model: flags.model,
    endpoints,
    areEndpointsCertain: flags.endpoint.length > 0,
    namesFallbacks: flags.fallbacks ?? false,
    sheds: flags.sheds === true ? '' : flags.sheds,
    backends,
  });
  try {
    const foreign = await backends.open(endpoints);
    tell(`the pool of the picker should hold ${endpoints.join(', ')}`);
    if (foreign.length > 0) tell(`not started here, but expected to serve: ${foreign.join(', ')}`);
    const pool = await warmUp(session, address);
    tell(
      pool.emptyBecause === undefined
        ? `it picks ${pool.seen.join(', ')}`
        : `nothing was picked in ${flags.warmUpMs} ms: ${pool.emptyBecause}`,
    );
    const judged = await runRows(session, rows, showProgress);
    clearProgress();
    process.stdout.write(`${resultTable(judged)}\n`);
    if (flags.json !== undefined) writeFileSync(flags.json, jsonReport(address, pool, judged));
    for (const line of failureLines(judged)) tell(line);
    const { MUST, SHOULD, INFO } = failedByLevel(judged);
    tell(`failed: ${MUST} MUST, ${SHOULD} SHOULD, ${INFO} INFO`);
    process.stdout.write(`${summaryLine(judged)}\n`);
    if (judged.some(isFailedMust)) process.exitCode = exitCodes.failure;
  } finally {
    await session.close();
    await backends.close();
  }
}

async function warmUp(session: Session, address: string) {
  try {
    return await session.warmUp();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandError(`cannot connect to ${address}: ${reason}`);
  }
}

function showProgress(
  done: number,
  total: number,
  row: { readonly conformanceCase: { readonly id: string } },
) {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${done}/${total}  ${row.conformanceCase.id}`);
  else if (done > 0 && done % 50 === 0) tell(`${done}/${total} cases`);
}

function clearProgress(): void {
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
}

function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}

function addressOf(text: string): { readonly host: string; readonly port: number } {
  const { host, port } = hostAndPort(text);
  if (host !== '' && Number.isInteger(port) && port > 0 && port < 65_536) return { host, port };
  throw new CommandError(`an address must be host:port, found "${text}"`, exitCodes.usage);
}

function pattern(text: string): RegExp {
  try {
    return new RegExp(text, 'i');
  } catch (error) {
    throw new CommandError(
      `--only must be a regular expression: ${(error as Error).message}`,
      exitCodes.usage,
    );
  }
}

function dialect(text: string, before: readonly DialectFamily[]): readonly DialectFamily[] {
  const found = dialectFamilies.find((family) => family === text);
  if (found !== undefined) return [...before, found];
  throw new CommandError(
    `--dialect must be one of ${dialectFamilies.join(', ')}, found "${text}"`,
    exitCodes.usage,
  );
}

const helpText = `
Levels: MUST fails the run (exit code 1); SHOULD and INFO are only told. Body modes that no known gateway sets up
are at most SHOULD. A case that cannot be judged is skipped, with the reason.

Endpoints: started on loopback addresses unless --endpoint names others (${defaultEndpoints.join(', ')}).

Examples:
  pointsman epp --endpoints ${defaultEndpoints.join(',')}
  pointsman conformance 127.0.0.1:9002 --tls --json report.json
  pointsman conformance 127.0.0.1:9002 --tls --dialect ngf --only subset`;
