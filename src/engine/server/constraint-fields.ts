import type { Constraint } from '../structured-output/index.ts';
import { compileConstraint, StructuredOutputError } from '../structured-output/index.ts';
import { parseJson } from './json-text.ts';
import type { RequestBody } from './request-fields.ts';
import {
  invalid,
  isGiven,
  readArray,
  readObject,
  readString,
  refuseUnsupported,
  shown,
} from './request-fields.ts';

/** What the text must look like: OpenAI's `response_format` or vLLM's `structured_outputs`, not both. */
export function readConstraint(body: RequestBody): Constraint | undefined {
  const format = readResponseFormat(body);
  const structured = readStructuredOutputs(body);
  if (format !== undefined && structured !== undefined)
    throw invalid('response_format and structured_outputs cannot be used together.', 'structured_outputs');
  if (format !== undefined) return checkConstraint(format, 'response_format');
  return structured === undefined ? undefined : checkConstraint(structured, 'structured_outputs');
}

/** Compiled here once so that the request is refused, not the generation; the engine has its own copy. */
export function checkConstraint(constraint: Constraint, param: string): Constraint {
  try {
    compileConstraint(constraint);
    return constraint;
  } catch (error) {
    if (error instanceof StructuredOutputError) throw invalid(error.message, param);
    throw error;
  }
}

function readResponseFormat(body: RequestBody): Constraint | undefined {
  const format = readObject(body, 'response_format');
  if (format === undefined || format['type'] === 'text') return undefined;
  if (format['type'] === 'json_object') return { kind: 'json_object' };
  if (format['type'] !== 'json_schema')
    throw invalid(
      `response_format.type must be "text", "json_object" or "json_schema", got ${shown(format['type'])}.`,
      'response_format',
    );
  const schema = readObject(format, 'json_schema')?.['schema'];
  if (schema === undefined || schema === null)
    throw invalid('response_format.json_schema.schema is required.', 'response_format');
  return { kind: 'json_schema', schema };
}

function readStructuredOutputs(body: RequestBody): Constraint | undefined {
  const given = readObject(body, 'structured_outputs') ?? readGuided(body);
  if (given === undefined) return undefined;
  refuseUnsupported(given, {
    structural_tag: undefined,
    whitespace_pattern: undefined,
    disable_any_whitespace: false,
    disable_additional_properties: false,
  });
  const kinds = (['json', 'regex', 'choice', 'grammar', 'json_object'] as const).filter(
    (name) => isGiven(given, name) && given[name] !== false,
  );
  if (kinds.length !== 1)
    throw invalid(
      'structured_outputs must have exactly one of json, regex, choice, grammar and json_object.',
      'structured_outputs',
    );
  switch (kinds[0]!) {
    case 'json':
      return { kind: 'json_schema', schema: readSchema(given['json']) };
    case 'regex':
      return { kind: 'regex', pattern: readString(given, 'regex')! };
    case 'choice':
      return { kind: 'choice', options: readChoice(given) };
    case 'grammar':
      return { kind: 'grammar', source: readString(given, 'grammar')! };
    case 'json_object':
      return { kind: 'json_object' };
  }
}

/** The names that vLLM had for the same before 0.12: `guided_json` and its kin. */
function readGuided(body: RequestBody): RequestBody | undefined {
  const names = ['json', 'regex', 'choice', 'grammar', 'json_object', 'whitespace_pattern'];
  const given = names.filter((name) => isGiven(body, `guided_${name}`));
  if (given.length === 0) return undefined;
  return Object.fromEntries(given.map((name) => [name, body[`guided_${name}`]]));
}

/** A schema, or its JSON text. */
function readSchema(value: unknown): unknown {
  return typeof value === 'string' ? parseJson(value, 'structured_outputs.json') : value;
}

function readChoice(given: RequestBody): readonly string[] {
  const options = readArray(given, 'choice')!;
  if (options.length === 0 || options.some((option) => typeof option !== 'string' || option === ''))
    throw invalid(
      'structured_outputs.choice must be a list of strings that are not empty.',
      'structured_outputs',
    );
  return options as readonly string[];
}
