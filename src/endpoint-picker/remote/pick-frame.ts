import { ServiceError } from '../../protocol/errors.ts';
import { emptyPrefix, type InferenceRequest, type PrefixHashes } from '../../scheduling/inference-request.ts';
import type { SubmitOptions } from '../assignment.ts';
import { FrameKind, maxRequestFrameBytes } from './frame-kinds.ts';
import type { FrameReader } from './frame-reader.ts';
import { type FrameWriter, maxTextBytes } from './frame-writer.ts';
import { appendHeaders, ListedHeaders } from './listed-headers.ts';
import { appendText, TextListReader } from './text-list.ts';

/** A request to be placed, as it crosses. The bodies stay where they are, all headers go along. */
export interface Pick {
  readonly ticket: number;
  readonly request: InferenceRequest;
  readonly options: Omit<SubmitOptions, 'signal'>;
}

const hasModel = 1 << 0;
const hasRequestedModel = 1 << 1;
const hasOtherModel = 1 << 2;
const isStreaming = 1 << 3;
const hasTtft = 1 << 4;
const hasTpot = 1 << 5;
const isStrict = 1 << 6;
const hasSubset = 1 << 7;
const hasFault = 1 << 8;
const isExplained = 1 << 9;

/** All numbers but the hashes. */
const fixedBytes = 64;

/** Throws a `ServiceError` if the request is too large to cross. */
export function writePick(
  writer: FrameWriter,
  ticket: number,
  request: InferenceRequest,
  options: Omit<SubmitOptions, 'signal'>,
): void {
  const { prefix, slo } = request;
  const texts = textsOf(request, options);
  const bytes = fixedBytes + 8 * prefix.count + maxTextBytes(texts);
  if (bytes > maxRequestFrameBytes) throw tooLarge(bytes);
  writer.begin(FrameKind.pick, bytes);
  writer.uint32(ticket);
  writer.uint16(flagsOf(request, options));
  writer.float64(request.priority);
  writer.uint32(request.promptTokens);
  writer.uint32(request.bodyBytes);
  if (slo.ttftMs !== undefined) writer.float64(slo.ttftMs);
  if (slo.tpotMs !== undefined) writer.float64(slo.tpotMs);
  writer.uint32(options.subset?.length ?? 0);
  writer.uint32(request.headers.size);
  writer.uint32(prefix.blockTokens);
  writer.uint32(prefix.count);
  writer.uint32s(prefix.low, prefix.count);
  writer.uint32s(prefix.high, prefix.count);
  writer.text(texts);
  writer.end();
}

/** Throws a `RangeError` for what `writePick` does not write: a number that is none would stay in the pool's sums. */
export function readPick(reader: FrameReader): Pick {
  const ticket = reader.uint32();
  const flags = reader.uint16();
  const priority = reader.finite();
  const promptTokens = reader.uint32();
  const bodyBytes = reader.uint32();
  const ttftMs = flags & hasTtft ? reader.finite() : undefined;
  const tpotMs = flags & hasTpot ? reader.finite() : undefined;
  const subsetCount = reader.uint32();
  const headerCount = reader.uint32();
  const prefix = readPrefix(reader);
  const list = reader.text();
  const texts = new TextListReader(list);
  const id = texts.next();
  const tenant = texts.next();
  const model = flags & hasModel ? texts.next() : undefined;
  const requestedModel = requestedModelOf(flags, model, texts);
  const parserFault = flags & hasFault ? texts.next() : undefined;
  const subset = flags & hasSubset ? Array.from({ length: subsetCount }, () => texts.next()) : undefined;
  return {
    ticket,
    request: {
      id,
      model,
      requestedModel,
      priority,
      tenant,
      headers: new ListedHeaders(list, texts.at, headerCount),
      promptTokens,
      bodyBytes,
      prefix,
      isStreaming: (flags & isStreaming) !== 0,
      slo: flags & isStrict ? { ttftMs, tpotMs, isStrict: true } : { ttftMs, tpotMs },
    },
    options: { subset, parserFault, explains: (flags & isExplained) !== 0 },
  };
}

function textsOf(request: InferenceRequest, { subset, parserFault }: Omit<SubmitOptions, 'signal'>): string {
  const { model, requestedModel } = request;
  let texts = appendText(appendText('', request.id), request.tenant);
  if (model !== undefined) texts = appendText(texts, model);
  if (requestedModel !== undefined && requestedModel !== model) texts = appendText(texts, requestedModel);
  if (parserFault !== undefined) texts = appendText(texts, parserFault);
  for (const entry of subset ?? []) texts = appendText(texts, entry);
  return appendHeaders(texts, request.headers);
}

function flagsOf(request: InferenceRequest, options: Omit<SubmitOptions, 'signal'>): number {
  const { model, requestedModel, slo } = request;
  return (
    (model === undefined ? 0 : hasModel) |
    (requestedModel === undefined ? 0 : hasRequestedModel) |
    (requestedModel === model ? 0 : hasOtherModel) |
    (request.isStreaming ? isStreaming : 0) |
    (slo.ttftMs === undefined ? 0 : hasTtft) |
    (slo.tpotMs === undefined ? 0 : hasTpot) |
    (slo.isStrict === true ? isStrict : 0) |
    (options.subset === undefined ? 0 : hasSubset) |
    (options.parserFault === undefined ? 0 : hasFault) |
    (options.explains === true ? isExplained : 0)
  );
}

function requestedModelOf(
  flags: number,
  model: string | undefined,
  texts: TextListReader,
): string | undefined {
  if (!(flags & hasRequestedModel)) return undefined;
  return flags & hasOtherModel ? texts.next() : model;
}

function readPrefix(reader: FrameReader): PrefixHashes {
  const blockTokens = reader.uint32();
  const count = reader.uint32();
  if (blockTokens === 0) throw new RangeError('Expected blocks of at least one token, found 0.');
  if (count === 0 && blockTokens === emptyPrefix.blockTokens) return emptyPrefix;
  return { count, blockTokens, low: reader.uint32s(count), high: reader.uint32s(count) };
}

function tooLarge(bytes: number): ServiceError {
  return new ServiceError(
    'request_too_large',
    `Expected headers and prompt hashes of at most ${maxRequestFrameBytes} bytes, found up to ${bytes}. Shorten the headers.`,
  );
}
