import type { FastifyInstance, FastifyReply } from 'fastify';
import { ServiceError } from '../../protocol/errors.ts';
import { invalid, shown } from './request-fields.ts';
import type { ServerContext } from './server-context.ts';

interface SleepQuery {
  readonly level?: string;
  readonly mode?: string;
}

/** `POST /sleep?level=1|2&mode=abort`, `POST /wake_up`, `GET /is_sleeping`, as vLLM's. */
export function addSleepRoutes(app: FastifyInstance, { engine, hasSleepMode }: ServerContext): void {
  const empty = (reply: FastifyReply) => reply.code(200).send();
  app.addHook('onRequest', async ({ url }) => {
    if (!hasSleepMode && /^\/(sleep|wake_up|is_sleeping)(\?|$)/.test(url))
      throw new ServiceError('not_found', 'This engine was started without --enable-sleep-mode.');
  });
  app.post<{ Querystring: SleepQuery }>('/sleep', async ({ query }, reply) => {
    const { level = '1', mode = 'abort' } = query;
    if (level !== '1' && level !== '2') throw invalid(`level must be 1 or 2, got ${shown(level)}.`, 'level');
    if (mode !== 'abort')
      throw invalid(`mode must be "abort", which ends what is under way; got ${shown(mode)}.`, 'mode');
    await engine.sleep(level === '1' ? 1 : 2);
    return empty(reply);
  });
  app.post('/wake_up', async (_, reply) => {
    await engine.wake();
    return empty(reply);
  });
  app.get('/is_sleeping', async () => ({ is_sleeping: engine.sleepLevel > 0 }));
}
