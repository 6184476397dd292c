import type { Dialect } from './dialects.ts';
import type { HeaderMutation, Reply } from './wire/processing-response.ts';

/**
 * What a data plane would trip over in the replies to one request, by rule. Each rule has a case of its own, so
 * one fault of a picker fails one case, and not every case that meets it.
 */
export type Rule =
  | 'before_headers'
  | 'not_streamed'
  | 'streamed_elsewhere'
  | 'one_each'
  | 'out_of_turn'
  | 'after_end'
  | 'chunk_size'
  | 'raw_value'
  | 'append_action'
  | 'pseudo_headers'
  | 'mode_override'
  | 'continue_and_replace'
  | 'unknown_reply';

export interface Violation {
  readonly rule: Rule;
  readonly found: string;
}

const maxChunkBytes = 65_536;
const overwrite = 2;

export interface Sent {
  readonly bodyMessages: number;
  /** Replies to the response as well. */
  readonly responseBodyMessages: number;
}

export function violationsIn(dialect: Dialect, replies: readonly Reply[], sent: Sent): readonly Violation[] {
  return [
    ...replies.flatMap((reply) => ofReply(dialect, reply)),
    ...ofDirection(dialect, replies, 'request', sent.bodyMessages),
    ...ofDirection(dialect, replies, 'response', sent.responseBodyMessages),
  ];
}

function ofReply(dialect: Dialect, reply: Reply): Violation[] {
  const found: Violation[] = [];
  if (reply.kind === 'unknown') found.push({ rule: 'unknown_reply', found: 'a reply without a known kind' });
  if (reply.hasModeOverride && dialect.requestBody === 'duplex') {
    found.push({ rule: 'mode_override', found: 'mode_override in full duplex' });
  }
  if ('mutation' in reply) found.push(...ofMutation(reply.mutation));
  if ('replaces' in reply && reply.replaces) {
    found.push({ rule: 'continue_and_replace', found: `CONTINUE_AND_REPLACE on ${reply.kind}` });
  }
  if (reply.kind !== 'body') return found;

  const { body } = reply;
  const isDuplex = isFullDuplex(dialect, reply.direction);
  if (isDuplex && body.kind !== 'streamed') {
    found.push({
      rule: 'not_streamed',
      found: `a ${reply.direction} body reply with ${described(body.kind)}`,
    });
  } else if (!isDuplex && body.kind === 'streamed' && dialect.modes !== undefined) {
    const mode = dialect.modes[reply.direction];
    found.push({ rule: 'streamed_elsewhere', found: `streamed_response in ${mode}` });
  }
  if (body.kind === 'streamed' && body.bytes.length > maxChunkBytes) {
    found.push({ rule: 'chunk_size', found: `a chunk of ${body.bytes.length} bytes` });
  }
  return found;
}

function ofMutation({ set, remove }: HeaderMutation): Violation[] {
  const removed = remove.filter(isOfTheDataPlane);
  const ofSet = set.flatMap(({ name, value, rawValue, appendAction, append }): Violation[] => {
    const found: Violation[] = [];
    if (value !== undefined || rawValue === undefined) {
      const what =
        value === undefined ? 'no value' : rawValue === undefined ? 'value' : 'value and raw_value';
      found.push({ rule: 'raw_value', found: `${name} with ${what}` });
    }
    if (appendAction !== overwrite || append === true) {
      const what = append === true ? 'append = true' : `append_action = ${appendAction}`;
      found.push({ rule: 'append_action', found: `${name} with ${what}` });
    }
    if (isOfTheDataPlane(name)) found.push({ rule: 'pseudo_headers', found: name });
    return found;
  });
  return [
    ...ofSet,
    ...removed.map((name): Violation => ({ rule: 'pseudo_headers', found: `${name} removed` })),
  ];
}

function isOfTheDataPlane(name: string): boolean {
  return name.startsWith(':') || name.toLowerCase() === 'host';
}

function ofDirection(
  dialect: Dialect,
  replies: readonly Reply[],
  direction: 'request' | 'response',
  bodyMessages: number,
): Violation[] {
  const found: Violation[] = [];
  const isDuplex = isFullDuplex(dialect, direction);
  let headers = 0;
  let bodies = 0;
  let hasEnded = false;
  for (const reply of replies) {
    if (!('direction' in reply) || reply.direction !== direction) continue;
    if (reply.kind === 'headers') {
      headers++;
      if (headers > 1)
        found.push({ rule: 'out_of_turn', found: `a second reply to the ${direction} headers` });
      continue;
    }
    if (headers === 0) {
      found.push({
        rule: 'before_headers',
        found: `a ${direction} ${reply.kind} reply before the headers reply`,
      });
    }
    if (hasEnded) {
      found.push({
        rule: 'after_end',
        found: `a ${direction} ${reply.kind} reply after the end of the body`,
      });
    }
    if (reply.kind === 'body') {
      bodies++;
      hasEnded ||= reply.body.kind === 'streamed' && reply.body.endOfStream;
    } else {
      hasEnded = true;
    }
  }
  if (!isDuplex && dialect.modes !== undefined && bodies > bodyMessages) {
    found.push({
      rule: 'one_each',
      found: `${bodies} ${direction} body replies to ${bodyMessages} messages`,
    });
  }
  return found;
}

export function isFullDuplex(dialect: Dialect, direction: 'request' | 'response'): boolean {
  const mode = dialect.modes?.[direction];
  return mode === 'FULL_DUPLEX_STREAMED' || mode === 'GRPC';
}

function described(kind: string): string {
  return kind === 'none' ? 'no body mutation' : `a mutation of kind ${kind}`;
}
