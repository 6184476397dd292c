import type { FastifyInstance } from 'fastify';
import { ServiceError } from '../../protocol/errors.ts';
import { invalid, readBody, readBoolean, readString } from './request-fields.ts';
import type { ServerContext } from './server-context.ts';
import { nowSeconds } from './server-context.ts';

const maxPathCharacters = 1024;

/** `POST /v1/load_lora_adapter` and `/v1/unload_lora_adapter`, as vLLM's: the answer is a line of text. */
export function addLoraRoutes(app: FastifyInstance, { adapters }: ServerContext): void {
  const nameOf = (value: unknown) => {
    if (!adapters.isOn) throw new ServiceError('not_found', 'This engine was started without --enable-lora.');
    const body = readBody(value);
    return { body, name: required(readString(body, 'lora_name'), 'lora_name') };
  };
  app.post('/v1/load_lora_adapter', async (request, reply) => {
    const { body, name } = nameOf(request.body);
    const path = required(readString(body, 'lora_path'), 'lora_path');
    if (path.length > maxPathCharacters)
      throw invalid(
        `lora_path may have up to ${maxPathCharacters} characters, got ${path.length}.`,
        'lora_path',
      );
    const mayReplace = readBoolean(body, 'load_inplace', false);
    await adapters.load(name, path, { nowSeconds: nowSeconds(), mayReplace });
    return reply.type('text/plain').send(`Success: LoRA adapter '${name}' added successfully.`);
  });
  app.post('/v1/unload_lora_adapter', async (request, reply) => {
    const { name } = nameOf(request.body);
    await adapters.unload(name);
    return reply.type('text/plain').send(`Success: LoRA adapter '${name}' removed successfully.`);
  });
}

function required(value: string | undefined, name: string): string {
  if (value === undefined || value === '') throw invalid(`${name} is required.`, name);
  return value;
}
