import type { ServerResponse } from 'node:http';
import { boundedLines } from './bounded-lines.ts';

/** The decision records as JSON Lines. */
export interface DecisionLines {
  /** Asked per request, so that a reload takes effect. */
  isServed(): boolean;
  /** Those that are kept, oldest first. */
  recent(): readonly string[];
  /** Calls back with each new one, until the function returned is called. */
  follow(onLine: (line: string) => void): () => void;
}

/** `?limit=N` gives the last N; `?follow` goes on with those that come, until the client leaves. */
export function answerDecisions(
  response: ServerResponse,
  query: URLSearchParams,
  lines: DecisionLines,
): void {
  if (!lines.isServed()) {
    response.writeHead(404, { 'content-type': 'text/plain' });
    response.end('Decision records are not served; set decisions.served in the configuration.\n');
    return;
  }
  const limit = query.get('limit') ?? 'Infinity';
  if (!/^(\d+|Infinity)$/.test(limit)) {
    response.writeHead(400, { 'content-type': 'text/plain' }).end('limit: expected a whole number\n');
    return;
  }
  const kept = lines.recent();
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  for (const line of kept.slice(Math.max(0, kept.length - Number(limit)))) response.write(`${line}\n`);
  if (!query.has('follow')) {
    response.end();
    return;
  }
  response.flushHeaders();
  response.once('close', lines.follow(boundedLines(response)));
}
