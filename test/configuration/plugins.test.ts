import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadConfiguration } from '../../src/configuration/index.ts';
import type { Endpoint, SchedulingContext } from '../../src/scheduling/index.ts';
import { createProfile } from '../../src/scheduling/profile.ts';
import { folderWith } from './folder.ts';

const zoneScorer = `
import { defineScorer, type Scorer } from 'pointsman/scheduling';

export default defineScorer({
  description: 'Endpoints of one zone.',
  defaults: { zone: 'a', penalty: 0 },
  create: ({ zone, penalty }): Scorer => {
    if (penalty > 1) throw new Error(\`penalty is \${penalty}; it must be at most 1\`);
    return (_context, endpoints) => endpoints.map(({ labels }) => (labels['zone'] === zone ? 1 : penalty));
  },
});
`;

async function loadWith(files: Readonly<Record<string, string>>) {
  return loadConfiguration({ file: join(folderWith(files), 'pointsman.yaml') });
}

async function messageFrom(files: Readonly<Record<string, string>>): Promise<string> {
  return loadWith(files).then(
    () => 'no problem',
    (error: Error) => error.message.replace(/^.*pointsman\.yaml:/, ''),
  );
}

function scorerNamed(name: string, rest = ''): string {
  return `profile:\n  filters: []\n  scorers:\n    - name: ${name}\n${rest}`;
}

function endpoint(name: string, zone: string): Endpoint {
  return {
    name,
    address: `${name}:1`,
    labels: { zone },
    models: [],
    isReady: true,
    metrics: { ageMs: 0 },
    inFlight: { requests: 0 },
  } as unknown as Endpoint;
}

describe("a scorer from the user's own file", () => {
  it.each(['a', 'b'])('changes the pick to zone %s', async (zone) => {
    const { profile } = await loadWith({
      'zone-scorer.ts': zoneScorer,
      'pointsman.yaml': scorerNamed('./zone-scorer.ts', `      parameters: { zone: ${zone} }\n`),
    });
    expect(profile.scorers[0]).toMatchObject({ name: 'zone-scorer', parameters: { zone, penalty: 0 } });
    const context = {
      request: { id: 'r', model: undefined, promptTokens: 0 },
      nowMs: 0,
      random: () => 0.5,
      cachedTokens: () => 0,
    } as unknown as SchedulingContext;
    const endpoints = [endpoint('one', 'a'), endpoint('two', 'b')];
    const { ranking } = createProfile({ name: 'default', ...profile }).run(context, endpoints);
    expect(ranking[0]?.labels['zone']).toBe(zone);
  });

  it('may be JavaScript, and may be named absolutely', async () => {
    const folder = folderWith({
      'first.mjs':
        "import { defineScorer } from 'pointsman/scheduling';\nexport default defineScorer({ create: () => () => [1] });\n",
    });
    const yaml = join(folder, 'pointsman.yaml');
    writeFileSync(yaml, scorerNamed(join(folder, 'first.mjs')));
    const { profile } = await loadConfiguration({ file: yaml });
    expect(profile.scorers[0]?.name).toBe('first');
  });

  it('may come from an npm package beside the configuration', async () => {
    const folder = folderWith({ 'pointsman.yaml': scorerNamed('zone-package') });
    const target = join(folder, 'node_modules', 'zone-package');
    mkdirSync(target, { recursive: true });
    writeFileSync(
      join(target, 'package.json'),
      '{"name":"zone-package","type":"module","exports":"./index.ts"}',
    );
    writeFileSync(join(target, 'index.ts'), zoneScorer);
    const { profile } = await loadConfiguration({ file: join(folder, 'pointsman.yaml') });
    expect(profile.scorers[0]).toMatchObject({ name: 'zone-package', description: 'Endpoints of one zone.' });
  });

  it('is loaded anew each time, so that a reload sees its changes', async () => {
    const folder = folderWith({ 's.ts': zoneScorer, 'pointsman.yaml': scorerNamed('./s.ts') });
    const file = join(folder, 'pointsman.yaml');
    expect((await loadConfiguration({ file })).profile.scorers[0]?.description).toBe(
      'Endpoints of one zone.',
    );
    writeFileSync(join(folder, 's.ts'), zoneScorer.replace('one zone', 'a zone'));
    expect((await loadConfiguration({ file })).profile.scorers[0]?.description).toBe('Endpoints of a zone.');
  });
});

describe('a plugin that cannot be used', () => {
  it.each([
    ['is missing', {}, './s.ts', /^4:13 {2}profile\.scorers\[0\]\.name: there is no file .*s\.ts$/],
    ['has no default export', { 's.ts': 'export const x = 1;' }, './s.ts', /no plugin as its default export/],
    [
      'is of another kind',
      { 's.ts': zoneScorer.replaceAll('defineScorer', 'defineFilter') },
      './s.ts',
      /^4:13 .*\.\/s\.ts is a filter, a scorer is needed here; expected export default defineScorer/,
    ],
    ['does not compile', { 's.ts': 'export default {' }, './s.ts', /^4:13 .*\.\/s\.ts could not be loaded: /],
    [
      'throws when loaded',
      { 's.ts': "throw new Error('no network');" },
      './s.ts',
      /could not be loaded: no network/,
    ],
    [
      'is an unknown name',
      {},
      'queue-dept',
      /there is no scorer "queue-dept"\. Did you mean "queue-depth"\? Built in: .*queue-depth/,
    ],
    ['climbs out of the built-in folder', {}, 'x/../../src/scheduling/plugins', /there is no scorer/],
  ])('%s, is told with file, line and name', async (_what, files, name, told) => {
    expect(await messageFrom({ ...files, 'pointsman.yaml': scorerNamed(name) })).toMatch(told);
  });

  it.each([
    [
      'zoon: b',
      '5:21  profile.scorers[0].parameters: scorer ./s.ts: unknown parameter "zoon". Did you mean "zone"? Known: zone, penalty.',
    ],
    ['zone: 5', '5:27  profile.scorers[0].parameters.zone: expected a string like "a", found number 5'],
    ['penalty: [1]', '5:30  profile.scorers[0].parameters.penalty: expected a number like 0, found a list'],
    [
      'penalty: .inf',
      '5:30  profile.scorers[0].parameters.penalty: expected a number like 0, found number Infinity',
    ],
    ['penalty: 2', '5:19  profile.scorers[0].parameters: scorer ./s.ts: penalty is 2; it must be at most 1'],
  ])('refuses the parameters { %s }', async (parameters, told) => {
    const yaml = scorerNamed('./s.ts', `      parameters: { ${parameters} }\n`);
    expect(await messageFrom({ 's.ts': zoneScorer, 'pointsman.yaml': yaml })).toBe(told);
  });
});
