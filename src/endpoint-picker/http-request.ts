/** A request as both adapters hand it in. */
export interface HttpRequest {
  /** Made by us. */
  readonly id: string;
  readonly method: string;
  /** With or without a query. */
  readonly path: string;
  /** Names in lower case; repeated headers joined with a comma. */
  readonly headers: ReadonlyMap<string, string>;
  /** The whole body; undefined when the request has none, or it is not for us to read. */
  readonly body: Buffer | undefined;
}

/** The first of the spellings that the request carries, trimmed; empty counts as absent. */
export function firstHeader(
  headers: ReadonlyMap<string, string>,
  names: readonly string[],
): string | undefined {
  for (const name of names) {
    const value = headers.get(name)?.trim();
    if (value !== undefined && value !== '') return value;
  }
  return undefined;
}
