/** One line of what `pointsman check` tells about an imported configuration. */
export interface MappingRow {
  /** As llm-d names it: the type, and the name if it differs. */
  readonly plugin: string;
  readonly verdict: 'mapped' | 'built in' | 'ignored' | 'refused' | 'not used';
  /** Ours, with parameters; empty if there is none. */
  readonly ours: string;
  readonly note: string;
}

/** As three columns. */
export function formatMapping(rows: readonly MappingRow[]): string {
  const head: MappingRow = { plugin: 'llm-d', verdict: 'mapped', ours: 'here', note: 'note' };
  const cells = [head, ...rows].map(({ plugin, ours, verdict, note }) => {
    return [plugin, ours === '' ? verdict : ours, note] as const;
  });
  // Longer cells stand out of their column rather than push the notes away.
  const width = (column: 0 | 1) => Math.min(56, Math.max(...cells.map((row) => row[column].length)));
  return cells
    .map(([left, middle, right]) => {
      const start = `  ${left.padEnd(width(0))} → `;
      return right === '' ? `${start}${middle}\n` : `${start}${middle.padEnd(width(1))} | ${right}\n`;
    })
    .join('');
}

/** `{threshold: 128}`; nothing for no parameters. */
export function formatParameters(parameters: Readonly<Record<string, unknown>>): string {
  const pairs = Object.entries(parameters).map(([key, value]) => `${key}: ${JSON.stringify(value)}`);
  return pairs.length === 0 ? '' : ` {${pairs.join(', ')}}`;
}
