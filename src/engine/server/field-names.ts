import { ServiceError } from '../../protocol/errors.ts';

/** An error of a chat field in the words of an API that calls the field otherwise; see `ChatDialect.fieldNames`. */
export function inWordsOf(fieldNames: Readonly<Record<string, string>>, error: unknown): unknown {
  if (!(error instanceof ServiceError) || error.param === undefined) return error;
  const { param } = error;
  const name = fieldNames[param];
  if (name === undefined) return error;
  const ofField = Object.entries(fieldNames).filter(([field]) => field.split('.')[0] === param);
  const message = ofField.reduce((text, [field, own]) => text.replaceAll(field, own), error.message);
  return new ServiceError(error.code, message, { param: name, cause: error });
}
