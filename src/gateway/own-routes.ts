/** What the gateway answers itself: models, probes, metrics. */
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { EndpointPicker } from '../endpoint-picker/assignment.ts';
import { ServiceError } from '../protocol/errors.ts';
import type { GatewayOptions } from './gateway-options.ts';
import { healthPath, metricsPath, modelsPath, readyPath } from './routes.ts';

export interface OwnRoutesOptions {
  readonly picker: EndpointPicker;
  readonly metricsText: GatewayOptions['metricsText'];
  readonly isDraining: () => boolean;
  /** `created` of every model, seconds since 1970: engines do not tell theirs alike. */
  readonly startedAtSeconds: number;
}

export function addOwnRoutes(app: FastifyInstance, options: OwnRoutesOptions): void {
  const { picker, metricsText, isDraining, startedAtSeconds } = options;
  const model = (id: string) => ({ id, object: 'model', created: startedAtSeconds, owned_by: 'pointsman' });

  app.get(modelsPath, (_request, reply) =>
    json(reply, 200, { object: 'list', data: picker.models().map(({ id }) => model(id)) }),
  );

  // A wildcard, as names may hold slashes: `meta-llama/Llama-3.1-8B`.
  app.get<{ Params: { '*': string } }>(`${modelsPath}/*`, ({ params }, reply) => {
    const id = params['*'];
    const models = picker.models();
    if (models.some((known) => known.id === id)) return json(reply, 200, model(id));
    const known = models.map((each) => each.id).join(', ') || 'none';
    throw new ServiceError('model_not_found', `No engine serves the model "${id}". Served are: ${known}.`, {
      param: 'model',
    });
  });

  app.get(healthPath, (_request, reply) => json(reply, 200, { status: 'ok' }));

  app.get(readyPath, (_request, reply) => {
    if (isDraining()) return json(reply, 503, { status: 'not_ready', reason: 'shutting down' });
    if (!picker.isReady()) return json(reply, 503, { status: 'not_ready', reason: 'no endpoint is ready' });
    return json(reply, 200, { status: 'ready' });
  });

  app.get(metricsPath, async (_request, reply) => {
    if (metricsText === undefined) {
      throw new ServiceError('not_found', 'Metrics are not served on this port.');
    }
    const { contentType, body } = await metricsText();
    return reply.header('content-type', contentType).send(body);
  });
}

function json(reply: FastifyReply, status: number, body: object): FastifyReply {
  return reply
    .code(status)
    .header('content-type', 'application/json; charset=utf-8')
    .send(JSON.stringify(body));
}
