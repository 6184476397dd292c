import { ServiceError } from '../../protocol/errors.ts';
import { clipped } from './request-fields.ts';
import type { ServerContext } from './server-context.ts';

/** `GET /v1/models`: one card per served name and per LoRA adapter, in vLLM's shape. */
export function models({ modelNames, modelPath, adapters, engine, createdSeconds }: ServerContext) {
  const served = modelNames.map((id) => ({ id, created: createdSeconds, root: modelPath, parent: null }));
  const adapted = adapters.all.map(({ name, path, createdSeconds: created, baseModelName }) => ({
    id: name,
    created,
    root: path,
    parent: baseModelName ?? modelNames[0]!,
  }));
  return {
    object: 'list',
    data: [...served, ...adapted].map(({ id, created, root, parent }) => ({
      id,
      object: 'model',
      created,
      owned_by: 'vllm',
      root,
      parent,
      max_model_len: engine.info.maxModelLen,
      permission: [
        {
          id: `modelperm-${id}`,
          object: 'model_permission',
          created,
          allow_create_engine: false,
          allow_sampling: true,
          allow_logprobs: true,
          allow_search_indices: false,
          allow_view: true,
          allow_fine_tuning: false,
          organization: '*',
          group: null,
          is_blocking: false,
        },
      ],
    })),
  };
}

/** `GET /v1/models/{id}`: the card of one. Throws `model_not_found`. */
export function model(context: ServerContext, id: string) {
  const card = models(context).data.find((each) => each.id === id);
  if (card !== undefined) return card;
  throw new ServiceError('model_not_found', `The model \`${clipped(id)}\` does not exist.`, {
    param: 'model',
  });
}
