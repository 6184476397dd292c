import { errorBody } from '../../protocol/error-dialects.ts';
import { ServiceError } from '../../protocol/errors.ts';
import { ChatTemplateError } from '../../tokenizer/index.ts';

const typeByStatus: Readonly<Record<number, string>> = {
  400: 'BadRequestError',
  401: 'AuthenticationError',
  404: 'NotFoundError',
  405: 'MethodNotAllowedError',
  413: 'RequestTooLargeError',
  415: 'UnsupportedMediaTypeError',
  501: 'NotImplementedError',
  503: 'ServiceUnavailableError',
};

/** An error in vLLM's shape: `type` is the class by status, `code` the status itself. */
export function vllmErrorBody(error: ServiceError) {
  const { status } = error.kind;
  return {
    error: {
      message: error.message,
      type: typeByStatus[status] ?? 'InternalServerError',
      param: error.param ?? null,
      code: status,
    },
  };
}

/** The body of an error in the dialect of the path: Anthropic's for its API, vLLM's for all others. */
export function errorBodyFor(url: string, error: ServiceError): string {
  return url.startsWith('/v1/messages')
    ? errorBody('anthropic', error)
    : JSON.stringify(vllmErrorBody(error));
}

/** What went wrong, as the client may see it; undefined if it is our fault and must be logged. */
export function clientError(error: unknown): ServiceError | undefined {
  if (error instanceof ServiceError) return error;
  if (error instanceof ChatTemplateError)
    return new ServiceError('invalid_request', error.message, { param: 'messages', cause: error });
  return fastifyError(error);
}

/** Fastify refuses bad bodies itself, with a status and a code. */
function fastifyError(error: unknown): ServiceError | undefined {
  if (!(error instanceof Error) || !('statusCode' in error)) return undefined;
  const status = error.statusCode;
  if (status === 413)
    return new ServiceError('request_too_large', 'The request body is larger than this engine accepts.');
  if (status === 415)
    return new ServiceError('unsupported_media_type', 'Send the body as application/json.', { cause: error });
  if (typeof status !== 'number' || status < 400 || status >= 500) return undefined;
  return new ServiceError('invalid_request', error.message, { cause: error });
}
