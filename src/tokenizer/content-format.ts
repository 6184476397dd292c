/**
 * How a template wants the content of messages: as one text, or as a list of `{"type": "text", "text": …}`. By vLLM's
 * names; `auto` looks at the template.
 */
export const contentFormats = ['auto', 'string', 'openai'] as const;
export type ContentFormat = (typeof contentFormats)[number];

/** A node of a parsed Jinja template. */
interface Node {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** What a parsed template does with contents. */
export interface ContentUse {
  /** It goes through the parts of a content. */
  readonly readsParts: boolean;
  /** It asks whether a content is a text. */
  readonly knowsTexts: boolean;
}

/** Looks for `for part in message.content`, and for `message.content is string`. */
export function contentUse(program: unknown): ContentUse {
  let readsParts = false;
  let knowsTexts = false;
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    for (const field of Object.values(value)) visit(field);
    const node = value as Node;
    if (node.type === 'For') readsParts ||= isContent(node['iterable']);
    if (node.type === 'TestExpression' && (node['test'] as Node | undefined)?.['value'] === 'string')
      knowsTexts ||= isContent(node['operand']);
  };
  visit(program);
  return { readsParts, knowsTexts };
}

/** `content`, `message.content` or `message['content']`, filtered or not. */
function isContent(value: unknown): boolean {
  const node = value as Node | undefined;
  switch (node?.type) {
    case 'Identifier':
      return node['value'] === 'content';
    case 'MemberExpression':
      return (node['property'] as Node | undefined)?.['value'] === 'content';
    case 'FilterExpression':
      return isContent(node['operand']);
    case 'SelectExpression':
      return isContent(node['lhs']);
    default:
      return false;
  }
}

/**
 * A content as the template wants it. Parts are joined by line feeds where it expects a text, as vLLM does; a text
 * becomes one part where it only knows parts.
 */
export function shapeContent(content: unknown, format: ContentFormat, use: ContentUse): unknown {
  const takesParts = format === 'openai' || (format === 'auto' && use.readsParts);
  if (Array.isArray(content) && !takesParts) return content.map(textOf).join('\n');
  const needsParts = takesParts && (format === 'openai' || !use.knowsTexts);
  return typeof content === 'string' && needsParts ? [{ type: 'text', text: content }] : content;
}

function textOf(part: unknown): string {
  const text = (part as { readonly text?: unknown } | null)?.text;
  return typeof text === 'string' ? text : '';
}
