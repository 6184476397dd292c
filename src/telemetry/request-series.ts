import type { InferenceRequest } from '../scheduling/inference-request.ts';
import { BoundedNames, otherName } from './bounded-names.ts';
import type { MetricSeries } from './metric-definitions.ts';
import type { Counter, Histogram } from './series.ts';

/** The series of one set of request labels; those that a request of the set has touched. */
export interface RequestSeries {
  /** model_name, target_model_name, fairness_id, priority. */
  readonly labels: readonly [string, string, string, string];
  readonly requests: Counter;
  readonly duration: Histogram;
  readonly requestBytes: Histogram;
  readonly responseBytes: Histogram;
  ttft?: Histogram;
  wholeTtft?: Histogram;
  tpot?: Histogram;
  itl?: Histogram;
  ntpot?: Histogram;
  inputTokens?: Histogram;
  outputTokens?: Histogram;
  cachedTokens?: Histogram;
  predictedTtft?: Histogram;
  predictedTpot?: Histogram;
}

/** What the series of a request follow from. */
interface LabelledRequest extends Pick<InferenceRequest, 'model' | 'requestedModel' | 'tenant' | 'priority'> {
  readonly series: RequestSeries;
}

export interface RequestLabelLimits {
  /** Different model names kept as labels. */
  readonly maxModels: number;
  /** The same for tenants. */
  readonly maxTenants: number;
  /** Different sets of model, tenant and priority: each has some two hundred series. */
  readonly maxSets: number;
}

/** Of requests that name no tenant, as llm-d calls it. */
const defaultFairnessId = 'default-flow';

/** Labels of a request that was refused before anything of it was known. */
export const unknownRequest: RequestSeries['labels'] = ['', '', defaultFairnessId, '0'];

/** Finds the series of a request. Clients name models and tenants: beyond the limits they are counted as `other`. */
export class RequestSeriesTable {
  readonly #series: MetricSeries;
  readonly #models: BoundedNames;
  readonly #tenants: BoundedNames;
  readonly #maxSets: number;
  readonly #sets = new Map<string, RequestSeries>();
  /** What the request before was, as the next is mostly like it: to write and hash its key takes longer than to count. */
  #last: LabelledRequest | undefined;

  constructor(series: MetricSeries, { maxModels, maxTenants, maxSets }: RequestLabelLimits) {
    this.#series = series;
    this.#models = new BoundedNames(maxModels);
    this.#tenants = new BoundedNames(maxTenants);
    this.#maxSets = maxSets;
  }

  of(request: InferenceRequest): RequestSeries {
    const { model, requestedModel, tenant, priority } = request;
    const last = this.#last;
    if (
      last !== undefined &&
      last.model === model &&
      last.requestedModel === requestedModel &&
      last.tenant === tenant &&
      last.priority === priority
    )
      return last.series;
    const series = this.#find(request);
    this.#last = { model, requestedModel, tenant, priority, series };
    return series;
  }

  #find(request: InferenceRequest): RequestSeries {
    const [model, target, tenant, priority] = this.labelsOf(request);
    const key = `${model}\0${target}\0${tenant}\0${priority}`;
    const known = this.#sets.get(key);
    if (known !== undefined) return known;
    if (this.#sets.size < this.#maxSets) return this.#add(key, [model, target, tenant, priority]);
    const rest = `${otherName}\0${priority}`;
    return this.#sets.get(rest) ?? this.#add(rest, [otherName, otherName, otherName, priority]);
  }

  /** A request for the model has been served. */
  knowsModel(name: string): boolean {
    return this.#models.has(name);
  }

  /** A client may invent models without end; those that nobody serves or has served are one. */
  withKnownModel(request: InferenceRequest, isServed: (model: string) => boolean): InferenceRequest {
    const { model, requestedModel } = request;
    if (model === undefined || this.knowsModel(model) || isServed(model)) return request;
    return {
      ...request,
      model: otherName,
      requestedModel: requestedModel === undefined ? undefined : otherName,
    };
  }

  /** Of each set that a request has touched. */
  *labelSets(): Iterable<RequestSeries['labels']> {
    for (const { labels } of this.#sets.values()) yield labels;
  }

  /** Without making series: of requests that may name anything, as nobody has served them. */
  labelsOf({ model = '', requestedModel = '', tenant, priority }: InferenceRequest): RequestSeries['labels'] {
    const target = this.#models.bounded(model);
    return [
      requestedModel === model ? target : this.#models.bounded(requestedModel),
      target,
      tenant === '' ? defaultFairnessId : this.#tenants.bounded(tenant),
      String(priority),
    ];
  }

  #add(key: string, labels: RequestSeries['labels']): RequestSeries {
    const { requests, duration, requestBytes, responseBytes } = this.#series;
    const added: RequestSeries = {
      labels,
      requests: requests.of(...labels),
      duration: duration.of(...labels),
      requestBytes: requestBytes.of(...labels),
      responseBytes: responseBytes.of(...labels),
    };
    this.#sets.set(key, added);
    return added;
  }
}
