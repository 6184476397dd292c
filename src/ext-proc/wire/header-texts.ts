import { KnownTexts } from '../../protocol/known-texts.ts';

const names = new KnownTexts(64, (bytes, start, end) => bytes.toString('utf8', start, end).toLowerCase());
/** Long values are mostly of one request alone, or secrets, which should not stay. */
const values = new KnownTexts(24, (bytes, start, end) => bytes.toString('utf8', start, end));

/** The header name at `bytes[start, end)` in lower case. */
export function headerName(bytes: Buffer, start: number, end: number): string {
  return names.at(bytes, start, end);
}

/** The header value at `bytes[start, end)`. */
export function headerValue(bytes: Buffer, start: number, end: number): string {
  return values.at(bytes, start, end);
}
