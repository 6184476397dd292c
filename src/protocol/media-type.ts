/** The type alone, in lower case: `application/json; charset=utf-8` → `application/json`; '' for none. */
export function mediaType(contentType: string | undefined): string {
  if (contentType === undefined) return '';
  const end = contentType.indexOf(';');
  return (end === -1 ? contentType : contentType.slice(0, end)).trim().toLowerCase();
}

/** `application/json` and the `+json` types of RFC 6839. */
export function isJsonType(type: string): boolean {
  return type === 'application/json' || type.endsWith('+json');
}
