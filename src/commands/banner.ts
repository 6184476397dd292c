import type { Servers } from './servers.ts';

export interface BannerOptions {
  readonly servers: Servers;
  readonly engines: readonly string[];
  readonly modelName: string;
  readonly seconds: number;
}

/** What runs where, one thing to try, and how to stop. */
export function banner({ servers, engines, modelName, seconds }: BannerOptions): string {
  const address = (door: Parameters<Servers['get']>[0]) => servers.get(door)?.address;
  const gateway = `http://${address('gateway')}`;
  const extProc = address('extProc');
  const rows = [
    ['gateway', `${gateway}/v1   OpenAI-compatible`],
    ...(extProc === undefined ? [] : [['ext-proc', `${extProc}   gRPC, for Envoy`]]),
    ['health', `${address('health')}   gRPC`],
    ['metrics', `http://${address('metrics')}/metrics`],
    ['engines', engines.join(', ')],
    ['model', modelName],
  ];
  const body = JSON.stringify({
    model: modelName,
    stream: true,
    messages: [{ role: 'user', content: 'What is a gateway?' }],
  });
  return [
    '',
    `pointsman is ready after ${seconds.toFixed(1)} s`,
    '',
    ...rows.map(([name, text]) => `  ${name!.padEnd(9)} ${text}`),
    '',
    'Try it:',
    '',
    `  curl -N ${gateway}/v1/chat/completions -H 'content-type: application/json' \\`,
    `    -d '${body.replaceAll("'", "'\\''")}'`,
    '',
    'Ctrl-C stops everything.',
    '',
    '',
  ].join('\n');
}
