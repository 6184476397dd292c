import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import {
  type LoadedConfiguration,
  loadConfiguration,
  watchConfiguration,
} from '../../src/configuration/index.ts';
import { folderWith } from './folder.ts';

async function watched(yaml: string, changedBefore?: string) {
  const file = join(folderWith({ 'pointsman.yaml': yaml }), 'pointsman.yaml');
  const good: LoadedConfiguration[] = [];
  const bad: unknown[] = [];
  const { version } = await loadConfiguration({ file });
  if (changedBefore !== undefined) writeFileSync(file, changedBefore);
  const watch = watchConfiguration(
    { file },
    {
      version,
      onChange: (loaded) => good.push(loaded),
      onInvalid: (error) => bad.push(error),
      intervalMs: 20,
    },
  );
  onTestFinished(() => watch.close());
  return { file, good, bad, watch };
}

it('hands over a changed file as a whole', async () => {
  const { file, good, bad } = await watched('gateway: { port: 1 }');
  writeFileSync(file, 'gateway: { port: 2 }  ');
  await expect
    .poll(() => good.map(({ configuration }) => configuration.gateway.port), { timeout: 10_000 })
    .toEqual([2]);
  expect(bad).toEqual([]);
});

it('keeps the last good configuration when the file is broken', async () => {
  const { file, good, bad, watch } = await watched('gateway: { port: 1 }');
  writeFileSync(file, 'gateway: { port: none }');
  await watch.reload();
  expect(good).toEqual([]);
  expect(String(bad[0])).toContain('gateway.port: expected a number, found string "none"');
});

it('reads once more when a reload is asked for during another', async () => {
  const { file, good, watch } = await watched('gateway: { port: 1 }');
  const first = watch.reload();
  writeFileSync(file, 'gateway: { port: 3 }');
  await Promise.all([first, watch.reload()]);
  expect(good.at(-1)?.configuration.gateway.port).toBe(3);
});

it('sees a change between loading and watching', async () => {
  const { good } = await watched('gateway: { port: 1 }', 'gateway: { port: 12 }');
  await expect
    .poll(() => good.map(({ configuration }) => configuration.gateway.port), { timeout: 10_000 })
    .toEqual([12]);
});
