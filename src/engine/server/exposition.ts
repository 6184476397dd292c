import type { MetricObjectWithValues, MetricValue, Registry } from 'prom-client';

type Series = MetricValue<string> & { readonly metricName?: string };
type Labels = Readonly<Partial<Record<string, string | number>>>;

/** Families that Python's client library would tell the age of. */
const agedFamilies = /^(vllm:|http_)/;

/**
 * The text of `/metrics`. Beside every counter, histogram and summary of vLLM stands a `_created` series, as
 * Python's client library writes it: the time, in seconds since 1970, from which it counts. A series that was not
 * there at the last scrape counts from then.
 */
export function createExposition(registry: Registry): () => Promise<string> {
  const bornSeconds = new Map<string, number>();
  let lastSeconds = Date.now() / 1000;

  const createdLines = (metric: MetricObjectWithValues<MetricValue<string>>): string[] => {
    const series = agedFamilies.test(metric.name) ? agedSeries(metric) : [];
    if (series.length === 0) return [];
    const isCounter = String(metric.type) === 'counter';
    const name = `${isCounter ? metric.name.replace(/_total$/, '') : metric.name}_created`;
    const lines = series.map((labels) => {
      const key = name + labelText(labels);
      const born = bornSeconds.get(key) ?? lastSeconds;
      bornSeconds.set(key, born);
      return `${key} ${born}`;
    });
    return [`# HELP ${name} ${metric.help}`, `# TYPE ${name} gauge`, ...lines];
  };

  return async () => {
    const nowSeconds = Date.now() / 1000;
    const metrics = await registry.getMetricsAsJSON();
    const created = metrics.flatMap(createdLines);
    lastSeconds = nowSeconds;
    return `${await registry.metrics()}${created.length === 0 ? '' : `\n${created.join('\n')}\n`}`;
  };
}

/** Labels of each series of a family that counts; none of a gauge. */
function agedSeries({ name, type, values }: MetricObjectWithValues<MetricValue<string>>): readonly Labels[] {
  // Typed as an enum of numbers, given as text.
  switch (String(type)) {
    case 'counter':
      return values.map(({ labels }) => labels);
    case 'histogram':
    case 'summary':
      return (values as Series[])
        .filter(({ metricName }) => metricName === `${name}_count`)
        .map(({ labels }) => labels);
    default:
      return [];
  }
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([key, value]) => `${key}="${escaped(String(value))}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function escaped(value: string): string {
  return value.replace(/[\\"\n]/g, (character) => (character === '\n' ? '\\n' : `\\${character}`));
}
