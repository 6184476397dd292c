/** What the gateway answers itself: models, probes, metrics. */
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { EndpointPicker } from '../endpoint-picker/assignment.ts';
import type { ModelAlias } from '../endpoint-picker/model-rewrites.ts';
import { ServiceError } from '../protocol/errors.ts';
import type { GatewayOptions } from './gateway-options.ts';
import { healthPath, metricsPath, modelsPath, readyPath } from './routes.ts';

export interface OwnRoutesOptions {
  readonly picker: EndpointPicker;
  /** Names for models that engines know by others. */
  readonly aliases: () => readonly ModelAlias[];
  readonly metricsText: GatewayOptions['metricsText'];
  readonly isDraining: () => boolean;
  /** `created` of every model, seconds since 1970: engines do not tell theirs alike. */
  readonly startedAtSeconds: number;
}

export function addOwnRoutes(app: FastifyInstance, options: OwnRoutesOptions): void {
  const { picker, aliases, metricsText, isDraining, startedAtSeconds } = options;
  const model = (id: string) => ({ id, object: 'model', created: startedAtSeconds, owned_by: 'pointsman' });

  for (const path of [modelsPath, `${modelsPath}/`])
    app.get(path, (_request, reply) =>
      json(reply, 200, { object: 'list', data: usableModels(picker, aliases()).map(model) }),
    );

  // A wildcard, as names may hold slashes: `meta-llama/Llama-3.1-8B`.
  app.get<{ Params: { '*': string } }>(`${modelsPath}/*`, ({ params }, reply) => {
    const id = params['*'];
    const models = usableModels(picker, aliases());
    if (models.includes(id)) return json(reply, 200, model(id));
    const known = models.join(', ') || 'none';
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

/** What a request may name: models that engines list, and names that are rewritten to one of these. Sorted. */
function usableModels(picker: EndpointPicker, aliases: readonly ModelAlias[]): readonly string[] {
  const names = new Set(picker.models().map(({ id }) => id));
  const usable = aliases.filter(({ targets }) => targets.some((target) => names.has(target)));
  for (const { name } of usable) names.add(name);
  return [...names].sort();
}

function json(reply: FastifyReply, status: number, body: object): FastifyReply {
  return reply
    .code(status)
    .header('content-type', 'application/json; charset=utf-8')
    .send(JSON.stringify(body));
}
