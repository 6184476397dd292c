/** Of lists and dictionaries in each other. */
const maxDepth = 100;

/**
 * A literal of Python (https://docs.python.org/3/library/ast.html#ast.literal_eval) as JSON text: strings, numbers,
 * `True`, `False`, `None`, lists, tuples and dictionaries. Undefined for anything else.
 */
export function jsonOfPythonLiteral(source: string): string | undefined {
  let at = 0;

  const match = (pattern: RegExp): RegExpExecArray | undefined => {
    pattern.lastIndex = at;
    const found = pattern.exec(source) ?? undefined;
    if (found !== undefined) at += found[0].length;
    return found;
  };
  const skipBlanks = () => match(/\s*/y);
  const take = (text: string): boolean => {
    if (!source.startsWith(text, at)) return false;
    at += text.length;
    return true;
  };

  const value = (depth: number): string | undefined => {
    skipBlanks();
    if (depth > maxDepth) return undefined;
    const found =
      word() ?? number() ?? strings() ?? list('[', ']', depth) ?? list('(', ')', depth) ?? dictionary(depth);
    skipBlanks();
    return found;
  };

  const word = (): string | undefined => {
    const found = match(/(?:True|False|None|true|false|null)\b/y)?.[0];
    return found === 'None' ? 'null' : found?.toLowerCase();
  };

  /** As it is written where JSON writes it so, too: long numbers keep their digits. */
  const number = (): string | undefined => {
    const found = match(
      /[+-]?(?:0[xob][\da-fA-F_]+|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?)/y,
    )?.[0];
    if (found === undefined) return undefined;
    const plain = found.replaceAll('_', '').replace(/^\+/, '');
    if (/^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(plain)) return plain;
    const isNegative = plain.startsWith('-');
    const size = Number(isNegative ? plain.slice(1) : plain);
    return Number.isFinite(size) ? String(isNegative ? -size : size) : undefined;
  };

  /** Strings that stand side by side are one. */
  const strings = (): string | undefined => {
    let joined: string | undefined;
    for (let next = string(); next !== undefined; next = string()) {
      joined = (joined ?? '') + next;
      skipBlanks();
    }
    return joined === undefined ? undefined : JSON.stringify(joined);
  };

  const string = (): string | undefined => {
    const found = match(
      /([rRuUbB]{0,2})(?:'''((?:[^\\]|\\[\s\S])*?)'''|"""((?:[^\\]|\\[\s\S])*?)"""|'((?:[^'\\]|\\[\s\S])*)'|"((?:[^"\\]|\\[\s\S])*)")/y,
    );
    if (found === undefined) return undefined;
    const [, prefix = '', ...inner] = found;
    const text = inner.find((part) => part !== undefined)!;
    return /r/i.test(prefix) ? text : unescaped(text);
  };

  const list = (opening: string, closing: string, depth: number): string | undefined => {
    if (!take(opening)) return undefined;
    const items: string[] = [];
    let hasComma = false;
    for (skipBlanks(); !take(closing); ) {
      const item = value(depth + 1);
      if (item === undefined) return undefined;
      items.push(item);
      const isNext = take(',');
      hasComma ||= isNext;
      skipBlanks();
      if (!isNext && !source.startsWith(closing, at)) return undefined;
    }
    // Parentheses around one value are no tuple.
    return opening === '(' && items.length === 1 && !hasComma ? items[0] : `[${items.join(', ')}]`;
  };

  const dictionary = (depth: number): string | undefined => {
    if (!take('{')) return undefined;
    const members: string[] = [];
    for (skipBlanks(); !take('}'); ) {
      const key = value(depth + 1);
      if (key === undefined || /^[[{]/.test(key) || !take(':')) return undefined;
      const member = value(depth + 1);
      if (member === undefined) return undefined;
      members.push(`${key.startsWith('"') ? key : JSON.stringify(key)}: ${member}`);
      const isNext = take(',');
      skipBlanks();
      if (!isNext && source[at] !== '}') return undefined;
    }
    return `{${members.join(', ')}}`;
  };

  const found = value(0);
  return at === source.length ? found : undefined;
}

const escapes: Readonly<Record<string, string>> = {
  ...{ n: '\n', r: '\r', t: '\t', b: '\b', f: '\f', v: '\v', a: '\x07', 0: '\0' },
  ...{ '\\': '\\', "'": "'", '"': '"', '\n': '' },
};

function unescaped(text: string): string {
  return text.replace(/\\(x[\da-fA-F]{2}|u[\da-fA-F]{4}|U[\da-fA-F]{8}|[\s\S])/gu, (whole, code: string) => {
    const short = escapes[code];
    if (short !== undefined) return short;
    const codePoint = code.length > 1 ? Number.parseInt(code.slice(1), 16) : Number.NaN;
    return codePoint <= 0x10ffff ? String.fromCodePoint(codePoint) : whole;
  });
}
