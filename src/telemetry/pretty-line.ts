/** One JSON log line as a short line for people: `07:31:02 warn  message  key=value key=value`. */
export function prettyLine(line: string, hasColors: boolean): string {
  let record: Record<string, unknown>;
  try {
    record = JSON.parse(line);
  } catch {
    return line;
  }
  const { level, time, msg, err, ...fields } = record;
  const clock = String(time).slice(11, 19);
  const paint = hasColors ? (colors[String(level)] ?? '') : '';
  const dim = hasColors ? '\u001b[2m' : '';
  const off = hasColors ? '\u001b[0m' : '';
  const pairs = Object.entries(fields).map(([key, value]) => `${key}=${short(value)}`);
  const head = `${dim}${clock}${off} ${paint}${String(level).padEnd(5)}${off} ${msg ?? ''}`;
  const tail = pairs.length > 0 ? `  ${dim}${pairs.join(' ')}${off}` : '';
  return `${head}${tail}${reason(err)}\n`;
}

const colors: Readonly<Record<string, string>> = {
  error: '\u001b[31m',
  warn: '\u001b[33m',
  info: '\u001b[32m',
  debug: '\u001b[36m',
};

function short(value: unknown): string {
  if (typeof value === 'string') return /[\s="]/.test(value) ? JSON.stringify(value) : value;
  if (typeof value === 'number') return String(Math.round(value * 100) / 100);
  return JSON.stringify(value);
}

/** The stack, indented, below the line: an error at night is read from there. */
function reason(err: unknown): string {
  if (typeof err !== 'object' || err === null) return '';
  const { message, stack } = err as { message?: string; stack?: string };
  return `\n    ${(stack ?? message ?? '').replaceAll('\n', '\n    ')}`;
}
