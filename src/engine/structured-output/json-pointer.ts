/**
 * The value in `root` that a URI fragment such as `#/$defs/a~1b` points to (RFC 6901, section 6), or why there is none,
 * as the end of a sentence.
 */
export function followPointer(
  root: unknown,
  pointer: string,
): { readonly value: unknown; readonly fault: string } {
  let value: unknown = root;
  for (const part of pointer.slice(1).split('/').slice(1)) {
    const key = decoded(part)?.replaceAll('~1', '/').replaceAll('~0', '~');
    if (key === undefined) return { value: undefined, fault: 'whose percent signs encode nothing' };
    const holder = typeof value === 'object' && value !== null ? value : {};
    value = Object.hasOwn(holder, key) ? (holder as Readonly<Record<string, unknown>>)[key] : undefined;
  }
  return { value, fault: 'which does not exist' };
}

function decoded(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch {
    return undefined;
  }
}
