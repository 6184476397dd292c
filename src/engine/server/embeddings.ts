import type { FastifyReply, FastifyRequest } from 'fastify';
import { poolAll, poolingUsage, readInputs } from './pooling.ts';
import type { RequestBody } from './request-fields.ts';
import { invalid, readBody, readString, shown } from './request-fields.ts';
import type { ServerContext } from './server-context.ts';
import { answerId, clientGone, nowSeconds, resolveModel } from './server-context.ts';

/** `POST /v1/embeddings`: one vector of each input, as `--pooler-config` or the model folder says. */
export function embeddings(context: ServerContext, request: FastifyRequest, reply: FastifyReply) {
  return vectors(context, { request, reply }, { idPrefix: 'embd-', object: 'embedding', field: 'embedding' });
}

/** `POST /pooling`: the same in vLLM's own shape, with the vectors in `data`. */
export function pooling(context: ServerContext, request: FastifyRequest, reply: FastifyReply) {
  const task = readString(readBody(request.body), 'task');
  if (task !== undefined && task !== 'embed')
    throw invalid(`task must be "embed"; ${shown(task)} is not served by this engine.`, 'task');
  return vectors(context, { request, reply }, { idPrefix: 'pool-', object: 'pooling', field: 'data' });
}

async function vectors(
  context: ServerContext,
  { request, reply }: { readonly request: FastifyRequest; readonly reply: FastifyReply },
  { idPrefix, object, field }: { readonly idPrefix: string; readonly object: string; readonly field: string },
): Promise<unknown> {
  const body = readBody(request.body);
  const model = resolveModel(context, body);
  const encode = readEncoding(body);
  const inputs = await readInputs(body, context);
  const states = await poolAll(context, body, { ...inputs, model, client: clientGone(reply) });
  return {
    id: answerId(idPrefix, request),
    object: 'list',
    created: nowSeconds(),
    model,
    data: states.map((state, index) => ({ index, object, [field]: encode(state) })),
    usage: poolingUsage(inputs.promptTokens),
  };
}

function readEncoding(body: RequestBody): (state: Float32Array) => readonly number[] | string {
  const format = readString(body, 'encoding_format') ?? 'float';
  if (format === 'float') return (state) => Array.from(state);
  if (format === 'base64') return littleEndianBase64;
  throw invalid(`encoding_format must be 'float' or 'base64', got ${shown(format)}.`, 'encoding_format');
}

/** As OpenAI's clients read it: float32, little-endian. */
function littleEndianBase64(state: Float32Array): string {
  const bytes = Buffer.alloc(state.length * 4);
  state.forEach((value, i) => {
    bytes.writeFloatLE(value, i * 4);
  });
  return bytes.toString('base64');
}
