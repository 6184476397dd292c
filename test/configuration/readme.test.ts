import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadConfiguration } from '../../src/configuration/index.ts';
import { folderWith } from './folder.ts';

const repository = join(import.meta.dirname, '..', '..');
const readme = readFileSync(join(repository, 'README.md'), 'utf8');

function block(language: string): string {
  return new RegExp(`\`\`\`${language}\n([\\s\\S]+?)\`\`\``).exec(readme)![1]!;
}

describe('the README', () => {
  it('shows a scorer and a configuration that load', async () => {
    const folder = folderWith({ 'same-zone.ts': block('ts'), 'pointsman.yaml': block('yaml') });
    const { profile } = await loadConfiguration({ file: join(folder, 'pointsman.yaml') });
    expect(profile.scorers[0]).toMatchObject({
      name: 'same-zone',
      weight: 5,
      description: expect.any(String),
    });
  });

  it('names scripts and files that exist', () => {
    const { scripts } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'));
    for (const [, script] of readme.matchAll(/npm run ([\w:-]+)/g)) expect(scripts).toHaveProperty([script!]);
    const paths = [...readme.matchAll(/`((?:src|config|test|scorers|bench|\.ci)\/[\w./-]*)`/g)];
    expect(paths.length).toBeGreaterThan(15);
    for (const [, path] of paths) expect(existsSync(join(repository, path!)), path).toBe(true);
  });
});

describe('the Dockerfile', () => {
  const dockerfile = readFileSync(join(repository, 'Dockerfile'), 'utf8');

  it('copies only files that exist and that .dockerignore lets through', () => {
    const ignore = readFileSync(join(repository, '.dockerignore'), 'utf8');
    const sources = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, list]) =>
      list!.split(' '),
    );
    expect(sources.length).toBeGreaterThan(8);
    for (const source of sources) {
      expect(existsSync(join(repository, source)), source).toBe(true);
      expect(ignore).toContain(`\n!${source.split('/')[0]}\n`);
    }
  });

  it('ends in stages without a compiler that do not run as root', () => {
    const stages = dockerfile.split(/^FROM /m).slice(1);
    const byName = new Map(stages.map((text) => [/ AS (\w+)/.exec(text)![1]!, text]));
    expect([...byName.keys()]).toEqual(['base', 'build', 'dependencies', 'gateway', 'engine']);
    expect(byName.get('gateway')).toMatch(/^base AS/);
    expect(byName.get('engine')).toMatch(/^gateway AS/);
    for (const name of ['base', 'gateway', 'engine']) expect(byName.get(name)).not.toMatch(/apt-get|g\+\+/);
    expect(byName.get('gateway')).toContain('USER node');
  });
});
