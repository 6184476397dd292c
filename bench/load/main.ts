/**
 * Load on a running gateway or engine, measured from outside.
 *
 *   npm run bench:load -- --url http://127.0.0.1:8080 --rate 20 --duration 10
 *   npm run bench:load -- --clients 200 --duration 60      every stream checked; exits 1 on any error
 *
 * Open loop (`--rate`): send times are drawn beforehand as a Poisson process, and every latency counts from
 * the intended time, so a slow server cannot slow the measurement down with it. Closed loop (`--clients`): each
 * client sends its next request when the last is answered.
 *
 * The gateway's `/metrics` is read all the while: how much was in flight at each engine, and in its queue.
 */
import { parseArgs } from 'node:util';
import { seededRandom } from '../../src/scheduling/seeded-random.ts';
import { runClosedLoop } from './closed-loop.ts';
import { sampleLoads } from './load-samples.ts';
import { type LoadPlan, runOpenLoop } from './open-loop.ts';
import { createPrompts } from './prompts.ts';
import { report } from './report.ts';
import { createStreamClient } from './stream-client.ts';

const usage = `Load on a running gateway or engine.

  --url URL                    http://127.0.0.1:8080
  --model NAME                 the first that /v1/models lists
  --duration SECONDS           10
  --rate N                     open loop: requests per second (20)
  --concurrency-limit N        open loop: at most so many at once; waiting counts as latency (none)
  --clients N                  closed loop: so many clients, every stream verified
  --prompt-tokens N            of each request's own part, about 4 bytes a token (200)
  --shared-prefix-tokens N     before it, the same for all requests of a tenant (1000)
  --tenants N                  different shared prefixes (4)
  --output-tokens N            32
  --seed N                     1
  --json                       figures as one line of JSON instead of the table

The variable POINTSMAN_API_KEY is sent as the bearer token if it is set.
`;

/** Between two readings of the engines' loads. */
const loadIntervalMs = 250;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      url: { type: 'string', default: 'http://127.0.0.1:8080' },
      model: { type: 'string' },
      duration: { type: 'string', default: '10' },
      rate: { type: 'string', default: '20' },
      'concurrency-limit': { type: 'string', default: 'Infinity' },
      clients: { type: 'string' },
      'prompt-tokens': { type: 'string', default: '200' },
      'shared-prefix-tokens': { type: 'string', default: '1000' },
      tenants: { type: 'string', default: '4' },
      'output-tokens': { type: 'string', default: '32' },
      seed: { type: 'string', default: '1' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  const number = (name: keyof typeof values): number => {
    const value = Number(values[name]);
    if (Number.isNaN(value) || value < 0) throw new Error(`--${name} ${values[name]}: expected a number`);
    return value;
  };
  const random = seededRandom(number('seed'));
  const clients = values.clients === undefined ? undefined : number('clients');
  const client = await createStreamClient({
    url: values.url,
    model: values.model,
    outputTokens: number('output-tokens'),
    apiKey: process.env['POINTSMAN_API_KEY'],
    isVerified: clients !== undefined,
  });
  const nextPrompt = createPrompts({
    random,
    tenants: Math.max(1, number('tenants')),
    sharedPrefixTokens: number('shared-prefix-tokens'),
    promptTokens: number('prompt-tokens'),
  });
  const loads = sampleLoads(values.url, loadIntervalMs);
  const plan: LoadPlan = { durationMs: number('duration') * 1000, nextPrompt, send: client.send };
  const results =
    clients === undefined
      ? await runOpenLoop({
          ...plan,
          random,
          ratePerSecond: number('rate'),
          concurrencyLimit: number('concurrency-limit'),
        })
      : await runClosedLoop({ ...plan, clients });
  await Promise.all([client.close(), loads.stop()]);
  return report(results, loads.samples, values.json);
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`bench:load: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
