import { diceOf } from './dice.ts';
import type { FuzzFailure, FuzzOptions } from './fuzz-http2.ts';
import { messageFaults } from './message-faults.ts';
import { type MutatedRequest, mutatedRequest } from './request-mutation.ts';
import type { RequestTarget } from './request-target.ts';

export interface FuzzRequestsOptions extends FuzzOptions {
  readonly target: RequestTarget;
}

/** Requests under way at one time. */
const lanes = 8;
/** A request without an answer for so long never gets one. */
const patienceMs = 60_000;

/**
 * Sends mutated bodies to every endpoint of an engine. Each must be answered with 200 and a whole answer, or
 * refused with a 4xx status whose body says what was wrong; and nothing may be left in the engine afterwards.
 */
export async function fuzzRequests({ seed, from, to, target }: FuzzRequestsOptions): Promise<{
  readonly outcomes: ReadonlyMap<string, number>;
  readonly failures: readonly FuzzFailure[];
}> {
  const outcomes = new Map<string, number>();
  const failures: FuzzFailure[] = [];
  let next = from;
  const lane = async (): Promise<void> => {
    while (next < to) {
      const index = next++;
      const request = mutatedRequest(diceOf(seed, `request ${index}`));
      const { outcome, faults } = await send(target.url, request);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      if (faults.length === 0) continue;
      const chunks = [request.path, request.body.toString()];
      failures.push({
        seed,
        index,
        kinds: request.kinds,
        faults: [...faults, ...target.takeErrors()],
        chunks,
      });
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  const faults = await target.leftBehind();
  if (faults.length > 0) failures.push({ seed, index: to, kinds: ['after the last'], faults, chunks: [] });
  return { outcomes, failures };
}

interface Result {
  readonly outcome: string;
  readonly faults: readonly string[];
}

const left: Result = { outcome: 'the client left', faults: [] };

async function send(url: string, { path, body, leavesAfterBytes }: MutatedRequest): Promise<Result> {
  const leaving = new AbortController();
  try {
    const response = await fetch(url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
      signal: AbortSignal.any([leaving.signal, AbortSignal.timeout(patienceMs)]),
    });
    let text = '';
    const decoder = new TextDecoder();
    for await (const chunk of response.body ?? []) {
      text += decoder.decode(chunk, { stream: true });
      if (leavesAfterBytes === undefined || text.length <= leavesAfterBytes) continue;
      leaving.abort();
      // Of an aborted body that has come in whole, Node's fetch does not tell the end.
      return left;
    }
    const type = response.headers.get('content-type') ?? '';
    return { outcome: String(response.status), faults: faultsOf(response.status, type, text) };
  } catch (error) {
    if (leaving.signal.aborted) return left;
    const { message, cause } = error as Error;
    return { outcome: 'no answer', faults: [`no answer: ${message} (${String(cause)})`] };
  }
}

function faultsOf(status: number, type: string, text: string): readonly string[] {
  try {
    if (status === 200)
      return type.startsWith('text/event-stream') ? streamFaults(text) : answerFaults(type, text);
    if (status < 400 || status > 499) return [`status ${status}: ${text.slice(0, 300)}`];
    const { error } = JSON.parse(text) as { error?: { message?: unknown } };
    const message = error?.message;
    return typeof message === 'string' ? messageFaults(message) : [`a refusal without a message: ${text}`];
  } catch (error) {
    return [`not JSON (${(error as Error).message}): ${text.slice(0, 300)}`];
  }
}

function answerFaults(type: string, text: string): readonly string[] {
  if (type.startsWith('application/json')) JSON.parse(text);
  return text === '' ? ['an empty answer'] : [];
}

/** Every event is JSON, none is an error, and the last is the one that its API ends with. */
function streamFaults(text: string): readonly string[] {
  const data = text.split('\n').flatMap((line) => (line.startsWith('data: ') ? [line.slice(6)] : []));
  const last = data.at(-1) ?? '';
  const isDone = last === '[DONE]';
  const events = (isDone ? data.slice(0, -1) : data).map(
    (each) => JSON.parse(each) as Record<string, unknown>,
  );
  const failed = events.filter((event) => event['error'] !== undefined && event['error'] !== null);
  const ends = ['message_stop', 'response.completed', 'response.incomplete'];
  const hasEnd = isDone || ends.includes(String(events.at(-1)?.['type']));
  return [
    ...failed.map((event) => `the stream breaks: ${JSON.stringify(event).slice(0, 300)}`),
    ...(hasEnd ? [] : [`the stream ends with ${last.slice(0, 200)}`]),
  ];
}
