import { expect, it, onTestFinished } from 'vitest';
import { ExtProcClient, fullDuplex, requestBody, requestHeaders } from '../support/ext-proc-client.ts';
import { startFakeEngine } from '../support/fake-engine.ts';
import { Pointsman } from '../support/pointsman.ts';

const body = JSON.stringify({ model: 'fake-model', messages: [{ role: 'user', content: 'hello' }] });
const elsewhere = { listValue: { values: [{ stringValue: '10.9.9.9:8000' }] } };

it.each([
  { flags: [], reply: 'immediateResponse' },
  { flags: ['--disable-endpoint-subset-filter=true'], reply: 'requestHeaders' },
])('a subset without any of our engines gets $reply with flags $flags', async ({ flags, reply }) => {
  const engine = await startFakeEngine();
  onTestFinished(() => engine.close());
  const ports = ['--ext-proc-port=0', '--health-port=0', '--metrics-port=0', '--log-format=json'];
  const program = new Pointsman([
    'epp',
    '--endpoints',
    engine.address,
    '--secure-serving=false',
    ...ports,
    ...flags,
  ]);
  const [, address] = await program.printed(/"address":"([^"]+)","msg":"extProc is listening"/);
  await program.printed(/"msg":"endpoint ready"/);
  const client = new ExtProcClient({ address: address! });
  onTestFinished(() => client.close());
  const exchange = client.open();
  exchange.send(requestHeaders({ modes: fullDuplex, subset: elsewhere })).send(requestBody(body));
  expect((await exchange.next())?.response).toBe(reply);
  exchange.cancel();
});
