/**
 * Keeps what people write apart from what the template writes. A message that contains `<|im_end|>` must not
 * end its turn: the text is cut inside the control token with a mark that occurs nowhere else, the template
 * renders it, and the parts between marks are encoded one by one, so the token is never seen whole.
 *
 * Plain completions are different: there the prompt is the caller's own, and control tokens in it count.
 */
export interface Guarded<T> {
  readonly value: T;
  /** The rendered text, cut where control tokens were written by people. Joined, it is what they wrote. */
  split(rendered: string): readonly string[];
}

/** Guards every string in `value` except roles, which templates compare and print as they are. */
export function guardSpecialTokens<T>(value: T, specialTokens: readonly string[]): Guarded<T> {
  const written = JSON.stringify(value) ?? '';
  const found = specialTokens.filter((token) => token.length > 1 && occurs(written, token));
  if (found.length === 0) return { value, split: (rendered) => [rendered] };
  const mark = unusedCharacter(written);
  const guardText = (text: string): string =>
    found.reduce((guarded, token) => guarded.replaceAll(token, token[0] + mark + token.slice(1)), text);
  return { value: mapStrings(value, guardText) as T, split: (rendered) => rendered.split(mark) };
}

/** JSON escapes quotes and backslashes, so a token that has them is looked for in both spellings. */
function occurs(json: string, token: string): boolean {
  return json.includes(token) || json.includes(JSON.stringify(token).slice(1, -1));
}

function mapStrings(value: unknown, map: (text: string) => string): unknown {
  if (typeof value === 'string') return map(value);
  if (Array.isArray(value)) return value.map((entry) => mapStrings(entry, map));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, entry]) => [key, key === 'role' ? entry : mapStrings(entry, map)]),
  );
}

/** A private-use character that the text does not contain. */
function unusedCharacter(text: string): string {
  for (let code = 0xf8f0; code >= 0xe000; code--) {
    const character = String.fromCharCode(code);
    if (!text.includes(character)) return character;
  }
  throw new Error('the text uses every private-use character');
}
