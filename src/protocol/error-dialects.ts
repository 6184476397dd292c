/** Errors in the shape that the client's library expects, as a body or as the last event of a broken stream. */
import { openAiErrorBody, type ServiceError } from './errors.ts';
import { droppedReasonHeader } from './headers.ts';

/** `openai` also serves everything that has no dialect of its own. */
export type ErrorDialect = 'openai' | 'openai-responses' | 'anthropic';

export function errorBody(dialect: ErrorDialect, error: ServiceError): string {
  return dialect === 'anthropic' ? anthropicErrorBody(error) : openAiErrorBody(error);
}

/** Why it was turned away, and when to come again. */
export function errorHeaders({ kind, retryAfterSeconds }: ServiceError): Record<string, string> {
  return {
    ...(retryAfterSeconds === undefined ? {} : { 'retry-after': String(Math.ceil(retryAfterSeconds)) }),
    ...(kind.droppedReason === undefined ? {} : { [droppedReasonHeader]: kind.droppedReason }),
  };
}

/** One server-sent event. Clients raise it as an error; no `[DONE]` follows. */
export function errorEvent(dialect: ErrorDialect, error: ServiceError): string {
  switch (dialect) {
    case 'openai':
      return `data: ${openAiErrorBody(error)}\n\n`;
    case 'openai-responses':
      return `event: error\ndata: ${responsesErrorEvent(error)}\n\n`;
    case 'anthropic':
      return `event: error\ndata: ${anthropicErrorBody(error)}\n\n`;
  }
}

function responsesErrorEvent({ code, message, param }: ServiceError): string {
  return JSON.stringify({ type: 'error', code, message, param: param ?? null, sequence_number: 0 });
}

/** https://docs.anthropic.com/en/api/errors names these types by status. */
const anthropicTypeByStatus: Readonly<Record<number, string>> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  503: 'overloaded_error',
};

function anthropicErrorBody(error: ServiceError): string {
  const { status } = error.kind;
  const type = anthropicTypeByStatus[status] ?? (status < 500 ? 'invalid_request_error' : 'api_error');
  return JSON.stringify({ type: 'error', error: { type, message: error.message } });
}
