import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { readFlags, usageText } from '../../bench/read-flags.ts';

const usage = { command: 'npm run bench:x', what: 'Measures x.', positionals: '[NAME ...]' };
const flags = {
  rounds: { type: 'string', default: '5', help: 'Rounds.' },
  only: { type: 'string', multiple: true, default: [] as [], help: 'What.' },
  quick: { type: 'boolean', default: false, help: 'Less.' },
} as const;

describe('the flags of a bench', () => {
  test('have defaults, and come with names beside them', () => {
    const { values, positionals } = readFlags(usage, flags, ['--only', 'a', '--only=b', 'c']);
    expect({ ...values }).toEqual({ rounds: '5', only: ['a', 'b'], quick: false });
    expect(positionals).toEqual(['c']);
  });

  test('are explained by --help, and where one is unknown', () => {
    const exit = vi.spyOn(process, 'exit').mockImplementation((code) => {
      throw new Error(`exit ${code}`);
    });
    const out = vi.spyOn(console, 'log').mockImplementation(() => undefined);
    const err = vi.spyOn(console, 'error').mockImplementation(() => undefined);
    expect(() => readFlags(usage, flags, ['--help'])).toThrow('exit 0');
    expect(out).toHaveBeenCalledWith(usageText(usage, flags));
    expect(() => readFlags(usage, flags, ['--round', '3'])).toThrow('exit 2');
    expect(err.mock.calls[0]?.[0]).toMatch(/Unknown option '--round'[\s\S]*--rounds VALUE {2}Rounds\. \(5\)/);
    for (const spy of [exit, out, err]) spy.mockRestore();
  });

  test('are read so in every bench', () => {
    const mains = readdirSync('bench', { recursive: true, encoding: 'utf8' }).filter(
      (file) =>
        // `bench/cuda/run` calls its programs and explains them.
        /(^|[/-])main\.ts$/.test(file) && !file.startsWith('cuda'),
    );
    expect(mains.length).toBeGreaterThan(10);
    const silent = mains.filter(
      (file) => !/readFlags\(|values\.help|flags\.help/.test(readFileSync(join('bench', file), 'utf8')),
    );
    expect(silent).toEqual([]);
  });
});
