import { type ErrorCode, errorKinds, ServiceError, toServiceError } from '../../protocol/errors.ts';
import { FrameKind } from './frame-kinds.ts';
import type { FrameReader } from './frame-reader.ts';
import { type FrameWriter, maxTextBytes } from './frame-writer.ts';
import { appendText, TextListReader } from './text-list.ts';

const hasParam = 1;
const hasRetryAfter = 2;

export function writeRefusal(writer: FrameWriter, ticket: number, error: unknown): void {
  const { code, message, param, retryAfterSeconds } = toServiceError(error);
  const texts = appendText(appendText(appendText('', code), message), param ?? '');
  writer.begin(FrameKind.refused, 32 + maxTextBytes(texts));
  writer.uint32(ticket);
  writer.uint8((param === undefined ? 0 : hasParam) | (retryAfterSeconds === undefined ? 0 : hasRetryAfter));
  if (retryAfterSeconds !== undefined) writer.float64(retryAfterSeconds);
  writer.text(texts);
  writer.end();
}

/** What is behind the ticket. */
export function readRefusal(reader: FrameReader): ServiceError {
  const flags = reader.uint8();
  const retryAfterSeconds = flags & hasRetryAfter ? reader.finite() : undefined;
  const texts = new TextListReader(reader.text());
  const code = texts.next();
  const message = texts.next();
  const param = texts.next();
  return new ServiceError(isCode(code) ? code : 'internal', message, {
    ...(flags & hasParam ? { param } : {}),
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
  });
}

function isCode(text: string): text is ErrorCode {
  return text in errorKinds;
}
