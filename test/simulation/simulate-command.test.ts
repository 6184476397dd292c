import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { simulateCommand } from '../../src/commands/simulate.ts';

describe('pointsman simulate', () => {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'simulate-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));
  afterEach(() => vi.restoreAllMocks());

  async function run(
    ...args: readonly string[]
  ): Promise<{ readonly output: string; readonly progress: string }> {
    let output = '';
    let progress = '';
    vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
      output += String(text);
      return true;
    });
    vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
      progress += String(text);
      return true;
    });
    await simulateCommand().exitOverride().parseAsync(args, { from: 'user' });
    return { output, progress };
  }

  it('prints the table, tells progress apart from it, and writes JSON Lines and a plot', async () => {
    const json = join(folder, 'results.jsonl');
    const svg = join(folder, 'plot.svg');
    const { output, progress } = await run(
      ...['--workload', 'trace-synthetic', '--load', '0.5', '--seeds', '2', '--share', '0.02'],
      ...['--policy', 'random', '--policy', 'default', '--json', json, '--svg', svg],
    );
    expect(output).toMatch(/^scenario=trace-synthetic load=0\.50 pods=16 /);
    expect(output.trimEnd().split('\n')).toHaveLength(5);
    expect(progress).toContain('4/4 runs');
    expect(readFileSync(json, 'utf8').trimEnd().split('\n')).toHaveLength(2);
    expect(readFileSync(svg, 'utf8')).toMatch(/^<svg /);
  });

  it('replays a trace of the user at a rate of their choice', async () => {
    const trace = join(folder, 'ours.jsonl');
    const line = (i: number) =>
      JSON.stringify({ timestamp: i * 100, input_length: 700, output_length: 20, hash_ids: [0, i] });
    writeFileSync(trace, Array.from({ length: 100 }, (_, i) => line(i)).join('\n'));
    const { output } = await run(
      '--trace',
      trace,
      '--rps',
      '5',
      '--pods',
      '2',
      '--seeds',
      '1',
      '--policy',
      'default',
    );
    expect(output).toMatch(/^scenario=ours load=1\.00 pods=2 preset=llama8b-h100 rps=[45]\.\d seeds=1 /);
  });

  it('compares the profiles of two configurations', async () => {
    const write = (name: string, picker: string) => {
      const file = join(folder, name);
      writeFileSync(
        file,
        `pool:\n  endpoints: [{ name: a, address: "127.0.0.1:9" }]\nprofile:\n  picker: { name: ${picker} }\n`,
      );
      return file;
    };
    const { output } = await run(
      ...['--share', '0.01', '--seeds', '1'],
      ...['--config', write('today.yaml', 'random'), '--config', write('tomorrow.yaml', 'max-score')],
    );
    expect(output).toContain('| today |');
    expect(output).toContain('| tomorrow |');
    expect(output).toContain('vs today TTFT');
  });

  it("holds requests as a configuration's flow control says", async () => {
    const write = (name: string, isEnabled: boolean) => {
      const file = join(folder, name);
      const lines = [
        'profile: { strategy: shadow-price }',
        `flowControl: { enabled: ${isEnabled}, roomMs: 20 }`,
      ];
      writeFileSync(file, lines.join('\n'));
      return file;
    };
    const { output } = await run(
      ...['--share', '0.03', '--seeds', '1', '--load', '1.5', '--pods', '4'],
      ...['--config', write('at-once.yaml', false), '--config', write('held.yaml', true)],
    );
    const figuresOf = (name: string) =>
      output
        .split('\n')
        .find((line) => line.startsWith(`| ${name} |`))
        ?.slice(name.length + 4);
    expect(figuresOf('held')).toBeDefined();
    expect(figuresOf('held')).not.toBe(figuresOf('at-once'));
  });

  it.each([
    [['--workload', 'nothing'], 'workload "nothing" is unknown'],
    [['--policy', 'nothing'], 'policy "nothing" is unknown'],
    [['--preset', 'nothing'], 'preset "nothing" is unknown'],
    [['--seeds', '0'], "'--seeds <count>' argument '0' is invalid. Expected a whole number, 1 or more."],
    [['--workload', 'azure-code', '--trace', 'x'], 'give --workload or --trace, not both'],
  ])('says what is wrong with %j', async (args, message) => {
    await expect(run(...args)).rejects.toThrow(message);
  });
});
