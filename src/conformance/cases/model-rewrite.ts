import type { ConformanceCase } from '../conformance-case.ts';
import { type Dialect, dialects, duplexDialects } from '../dialects.ts';
import type { Exchange } from '../exchange.ts';
import { chatBody, chatEvents, type HttpRequest, inChunks, post } from '../http-shapes.ts';
import { NotJudged, require } from '../outcome.ts';
import type { Session } from '../session.ts';

/** What the client calls the model; the pool knows it by another name. */
const alias = 'a-name-of-the-client';
const rewriteHeader = 'x-llm-d-model-name-rewrite';
const rewriting: readonly Dialect[] = [...duplexDialects, dialects.buffered];

/**
 * A picker that rewrites models (InferenceModelRewrite) changes the name in the request, and changes it back in the
 * response, so that the client sees the name that it asked for. Asked for here by llm-d's header; a picker that
 * does not heed it is not judged.
 */
export const modelRewriteCases: readonly ConformanceCase[] = [
  {
    id: 'rewrite-request',
    clause: 'InferenceModelRewrite',
    title: 'InferenceModelRewrite: the model is replaced in the body, and no other byte of it',
    level: 'SHOULD',
    dialects: rewriting,
    async run(session, dialect) {
      const fields = ',"seed" : 12345678901234567890,"z":1.0,"a":{"model":"inner"}';
      const spelled = (model: string) =>
        Buffer.from(
          `{"messages":[{"role":"user","content":"\\u00e9"}],\n"model" : ${JSON.stringify(model)}${fields}}`,
        );
      const exchange = await rewritten(session, dialect, spelled(alias));
      const found = exchange.body('request').toString();
      exchange.cancel();
      const expected = spelled(session.options.model).toString();
      require(found === expected, expected, found);
      return `${found.length} bytes`;
    },
  },
  {
    id: 'rewrite-response',
    clause: 'InferenceModelRewrite',
    title:
      "InferenceModelRewrite: a whole response carries the client's name of the model, and no other change",
    level: 'SHOULD',
    dialects: rewriting,
    async run(session, dialect) {
      const answer = (model: string) =>
        Buffer.from(
          `{"id":"c","model":${JSON.stringify(model)},"created":12345678901234567890,"choices":[]}`,
        );
      const exchange = await rewritten(session, dialect, chatBody(alias));
      const headers = { 'content-type': 'application/json' };
      const chunks = inChunks(answer(session.options.model), 20);
      await exchange.response({ ...session.events(false), headers, chunks });
      return requireResponse(exchange, answer(alias));
    },
  },
  {
    id: 'rewrite-stream',
    clause: 'InferenceModelRewrite',
    title: "InferenceModelRewrite: a streamed response carries the client's name, wherever its bytes are cut",
    level: 'SHOULD',
    dialects: rewriting,
    async run(session, dialect) {
      const told = Buffer.from(chatEvents(session.options.model).join(''));
      for (const chunkBytes of [1, 7, 64]) {
        const exchange = await rewritten(session, dialect, chatBody(alias, { stream: true }));
        await exchange.response({ ...session.events(false), chunks: inChunks(told, chunkBytes) });
        requireResponse(exchange, Buffer.from(chatEvents(alias).join('')));
      }
      return 'in chunks of 1, 7 and 64 bytes';
    },
  },
];

/** A request for the alias that was picked for, with its model replaced. */
async function rewritten(session: Session, dialect: Dialect, body: Buffer): Promise<Exchange> {
  session.requirePool();
  const headers = { [rewriteHeader]: session.options.model };
  const request: HttpRequest = post(body, { headers, chunks: inChunks(body, 50) });
  const exchange = await (await session.start(dialect)).request(request);
  const found = exchange.body('request');
  const isHeeded = found.includes(JSON.stringify(session.options.model)) && !found.includes(alias);
  if (!isHeeded) {
    exchange.cancel();
    throw new NotJudged(`it does not rewrite models by ${rewriteHeader}`);
  }
  return exchange.requirePicked();
}

function requireResponse(exchange: Exchange, expected: Buffer): string {
  const found = exchange.body('response');
  exchange.cancel();
  require(found.equals(expected), expected.toString(), found.toString() || exchange.describe());
  return `${found.length} bytes`;
}
