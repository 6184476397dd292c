import type { ServerContext } from './server-context.ts';

/** `GET /v1/models`: one card per served name, in vLLM's shape. */
export function models({ modelNames, modelPath, engine, createdSeconds }: ServerContext) {
  return {
    object: 'list',
    data: modelNames.map((id) => ({
      id,
      object: 'model',
      created: createdSeconds,
      owned_by: 'vllm',
      root: modelPath,
      parent: null,
      max_model_len: engine.info.maxModelLen,
      permission: [
        {
          id: `modelperm-${id}`,
          object: 'model_permission',
          created: createdSeconds,
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
