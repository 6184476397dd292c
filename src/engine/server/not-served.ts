import type { FastifyInstance } from 'fastify';
import { ServiceError } from '../../protocol/errors.ts';

/** Endpoints of vLLM that this engine does not have, each with why, or what there is instead. */
const notServed: Readonly<Record<string, string>> = {
  '/classify': 'This engine serves no classifiers. /score and /rerank compare texts by their embeddings.',
  '/v1/audio/transcriptions': 'This engine reads text only.',
  '/v1/audio/translations': 'This engine reads text only.',
  '/v1/images/generations': 'This engine writes text only.',
  '/pause': 'This engine cannot pause. With --enable-sleep-mode, /sleep ends what runs and /wake_up goes on.',
  '/resume':
    'This engine cannot pause. With --enable-sleep-mode, /sleep ends what runs and /wake_up goes on.',
  '/abort_requests': 'Close the connection of a request: it ends within a step.',
};

export function refuseNotServed(app: FastifyInstance): void {
  for (const [path, message] of Object.entries(notServed))
    app.post(path, async () => {
      throw new ServiceError('not_implemented', message);
    });
}
