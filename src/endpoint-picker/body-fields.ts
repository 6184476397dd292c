/** What of a body is read, and what is refused before an engine sees it. */
import { type Api, tokenLimitFields } from '../protocol/apis.ts';
import { ServiceError } from '../protocol/errors.ts';
import {
  decodeJsonString,
  type JsonRange,
  type JsonScan,
  JsonSyntaxError,
  scanJson,
} from '../protocol/json-scan.ts';
import { KnownTexts } from '../protocol/known-texts.ts';

/** Larger limits do not fit the 32-bit counters of engines. */
const largestTokenLimit = 2 ** 31 - 1;

/** Undefined for no body, or one that is no JSON object where the API takes any. */
export function scanBody(body: Buffer | undefined, api: Api): JsonScan | undefined {
  if (body === undefined) return undefined;
  try {
    const scan = scanJson(body, { keys: api.fields });
    if (scan.type === 'object') return scan;
    if (api.body === 'any') return undefined;
    throw new ServiceError('invalid_request', `Expected a JSON object as the body, found ${describe(scan)}.`);
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error;
    if (api.body === 'any') return undefined; // not ours to judge: it may be any format
    throw new ServiceError('invalid_json', `The body is ${error.message}.`, { cause: error });
  }
}

/** Models, of which a fleet serves few; each is a key of several tables. */
const modelNames = new KnownTexts(64, (bytes, start, end) => decodeJsonString(bytes, { start, end }));

/** Throws for a model that is no name; undefined if there is none. */
export function readModelName(
  body: Buffer,
  scan: JsonScan,
  api: Api,
): { readonly text: string; readonly range: JsonRange } | undefined {
  const range = scan.members.get('model');
  const text = range?.type === 'string' ? modelNames.at(body, range.start, range.end) : undefined;
  if (range !== undefined && text !== undefined && text !== '') return { text, range };
  const mayBeAbsent = range === undefined || range.type === 'null';
  if (api.body === 'any' || mayBeAbsent) return undefined;
  throw invalidModel(text === '' ? 'an empty string' : describe(range));
}

export function missingModel(): ServiceError {
  return invalidModel('nothing');
}

function invalidModel(found: string): ServiceError {
  return invalidField('model', 'the name of a model as a string (GET /v1/models lists them)', found);
}

export function checkFields(body: Buffer, scan: JsonScan, api: Api): void {
  const stream = scan.members.get('stream');
  if (stream !== undefined && stream.type !== 'boolean' && stream.type !== 'null') {
    throw invalidField('stream', 'true or false', describe(stream));
  }
  for (const name of api.arrays) {
    const range = scan.members.get(name);
    if (range !== undefined && range.type !== 'array') {
      throw invalidField(name, `an array of ${name}`, describe(range));
    }
  }
  for (const name of tokenLimitFields) {
    const range = scan.members.get(name);
    if (range === undefined || range.type === 'null') continue;
    const value =
      range.type === 'number' ? Number(body.toString('latin1', range.start, range.end)) : Number.NaN;
    if (Number.isInteger(value) && value >= 0 && value <= largestTokenLimit) continue;
    const found = range.type === 'number' ? body.toString('latin1', range.start, range.end) : describe(range);
    throw invalidField(name, `a whole number from 0 to ${largestTokenLimit}`, found.slice(0, 40));
  }
}

/** `stream` is `true`. */
export function asksForStream(body: Buffer, scan: JsonScan): boolean {
  const range = scan.members.get('stream');
  return range?.type === 'boolean' && body[range.start] === 0x74;
}

function invalidField(param: string, expected: string, found: string): ServiceError {
  return new ServiceError('invalid_request', `Expected "${param}" to be ${expected}, found ${found}.`, {
    param,
  });
}

function describe({ type }: JsonRange): string {
  if (type === 'null') return 'null';
  return type === 'object' || type === 'array' ? `an ${type}` : `a ${type}`;
}
