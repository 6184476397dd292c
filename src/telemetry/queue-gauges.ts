import type { InferenceRequest } from '../scheduling/inference-request.ts';
import type { RequestSeriesTable } from './request-series.ts';
import { type Family, gauge } from './series.ts';

export interface QueueGaugesOptions {
  /** Requests that wait; undefined without flow control. */
  readonly waiting?: (() => Iterable<InferenceRequest> | undefined) | undefined;
  readonly poolName?: string;
}

/**
 * Requests that wait, under all labels that llm-d gives them: autoscalers ask for those of one model. A set of labels
 * that was there goes to zero and does not end.
 */
export function queueGauges(
  { waiting = () => undefined, poolName = 'default' }: QueueGaugesOptions,
  table: RequestSeriesTable,
  isServed: (model: string) => boolean,
): Family[] {
  const sumsOf = (value: (request: InferenceRequest) => number) => {
    const now = waiting();
    const sums = new Map<readonly string[], number>();
    if (now === undefined) return sums;
    for (const labels of table.labelSets()) sums.set(labels, 0);
    for (const request of now) {
      const { labels } = table.of(table.withKnownModel(request, isServed));
      sums.set(labels, (sums.get(labels) ?? 0) + value(request));
    }
    return sums;
  };
  const queue = (name: string, help: string, value: (request: InferenceRequest) => number) =>
    gauge({
      name: `llm_d_epp_flow_control_${name}`,
      help,
      labelNames: ['fairness_id', 'priority', 'inference_pool', 'model_name', 'target_model_name'],
      read: () =>
        [...sumsOf(value)].map(([[model = '', target = '', tenant = '', priority = ''], sum]) => {
          return [[tenant, priority, poolName, model, target], sum] as const;
        }),
    });
  return [
    queue('queue_size', 'Requests that wait.', () => 1),
    queue('queue_bytes', 'Bodies of requests that wait.', ({ bodyBytes }) => bodyBytes),
  ];
}
