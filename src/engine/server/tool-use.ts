import type { OutputParser, ToolParameters } from '../output-parsers/index.ts';
import { createCallListParser, createNamedCallParser } from '../output-parsers/index.ts';
import type { Constraint } from '../structured-output/index.ts';
import { checkConstraint } from './constraint-fields.ts';
import type { RequestBody } from './request-fields.ts';
import { invalid, readObject, readRecords, readString, shown } from './request-fields.ts';

export type ToolChoice =
  | { readonly kind: 'none' | 'auto' | 'required' }
  | { readonly kind: 'named'; readonly name: string };

export interface ToolUse {
  /** As the template shows them; absent if there are none, or none may be used. */
  readonly tools: readonly RequestBody[] | undefined;
  readonly choice: ToolChoice;
}

export function readToolUse(body: RequestBody): ToolUse {
  const given = readRecords(body, 'tools');
  const tools = given?.length === 0 ? undefined : given;
  const choice = readToolChoice(body);
  if (choice.kind === 'none') return { tools: undefined, choice };
  if (choice.kind === 'auto') return { tools, choice };
  if (tools === undefined) throw invalid('When using `tool_choice`, `tools` must be set.', 'tool_choice');
  if (choice.kind === 'named' && !tools.some((tool) => functionOf(tool).name === choice.name))
    throw invalid(`tool_choice names ${shown(choice.name)}, which is not among the tools.`, 'tool_choice');
  return { tools, choice };
}

/** A choice that leaves no freedom: the text is held to calls and is nothing else. */
export function forcedCalls(
  { tools = [], choice }: ToolUse,
  allowsSeveral: boolean,
): { readonly constraint: Constraint; readonly createParser: () => OutputParser } | undefined {
  if (choice.kind === 'named') {
    const tool = tools.map(functionOf).find(({ name }) => name === choice.name)!;
    return {
      constraint: checkConstraint({ kind: 'json_schema', schema: tool.parameters }, 'tools'),
      createParser: () => createNamedCallParser(choice.name),
    };
  }
  if (choice.kind !== 'required') return undefined;
  const calls = tools.map(functionOf).map(({ name, parameters }, i) => ({
    type: 'object',
    properties: {
      name: { const: name },
      parameters: moveReferences(parameters, `#/items/anyOf/${i}/properties/parameters`),
    },
    required: ['name', 'parameters'],
  }));
  const several = allowsSeveral ? {} : { maxItems: 1 };
  const schema = { type: 'array', items: { anyOf: calls }, minItems: 1, ...several };
  return {
    constraint: checkConstraint({ kind: 'json_schema', schema }, 'tools'),
    createParser: createCallListParser,
  };
}

/** What each tool takes. */
export function toolParameters({ tools = [] }: ToolUse): ToolParameters {
  return new Map(tools.map(functionOf).map(({ name, parameters }) => [name, parameters]));
}

function readToolChoice(body: RequestBody): ToolChoice {
  const choice = body['tool_choice'] ?? 'auto';
  if (choice === 'none' || choice === 'auto' || choice === 'required') return { kind: choice };
  const name = typeof choice === 'string' ? undefined : readFunctionName(body);
  if (name !== undefined) return { kind: 'named', name };
  throw invalid(
    `tool_choice must be "none", "auto", "required" or {"type": "function", "function": {"name": …}}, got ${shown(choice)}.`,
    'tool_choice',
  );
}

function readFunctionName(body: RequestBody): string | undefined {
  const called = readObject(readObject(body, 'tool_choice') ?? {}, 'function');
  return called === undefined ? undefined : readString(called, 'name');
}

/** Tools without parameters take an object without members. */
function functionOf(tool: RequestBody): { readonly name: string; readonly parameters: unknown } {
  const called = readObject(tool, 'function');
  const name = called === undefined ? undefined : readString(called, 'name');
  if (name === undefined || name === '') throw invalid('Each tool needs a function with a name.', 'tools');
  return { name, parameters: called?.['parameters'] ?? { type: 'object', additionalProperties: false } };
}

/** References of a schema that becomes a part of another one. */
function moveReferences(schema: unknown, to: string): unknown {
  if (Array.isArray(schema)) return schema.map((each) => moveReferences(each, to));
  if (typeof schema !== 'object' || schema === null) return schema;
  return Object.fromEntries(
    Object.entries(schema).map(([key, value]) => [
      key,
      key === '$ref' && typeof value === 'string' && value.startsWith('#')
        ? to + value.slice(1)
        : moveReferences(value, to),
    ]),
  );
}
