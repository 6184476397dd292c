/** Answers what is not HTTP, or not in time: such a request reaches no route. */
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { openAiErrorBody, ServiceError } from '../protocol/errors.ts';

export function answerMalformedRequest(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || hasAnswerBegun(socket) || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const { status, message } = complaint(error.code);
  const body = openAiErrorBody(new ServiceError('invalid_request', message));
  socket.end(
    [
      `HTTP/1.1 ${status}`,
      'content-type: application/json; charset=utf-8',
      `content-length: ${Buffer.byteLength(body)}`,
      'connection: close',
      '',
      body,
    ].join('\r\n'),
  );
}

function complaint(code: string | undefined): { readonly status: string; readonly message: string } {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return {
        status: '431 Request Header Fields Too Large',
        message: 'The request headers are too large. Send fewer or shorter ones.',
      };
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return { status: '408 Request Timeout', message: 'The request did not arrive in time.' };
    default:
      return {
        status: '400 Bad Request',
        message: `Expected an HTTP/1.1 request, found something else (${code ?? 'unknown'}).`,
      };
  }
}

/** An earlier request of this connection is being answered: other bytes would corrupt that answer. */
function hasAnswerBegun(socket: Socket): boolean {
  // Node's own default handler asks the same of the same field.
  const { _httpMessage: current } = socket as Socket & { readonly _httpMessage?: ServerResponse };
  return current?.headersSent === true;
}
