import type { ExperimentResult, PolicyRuns, RunSample } from './experiment.ts';
import { quantile } from './statistics.ts';

const width = 960;
const panelHeight = 300;
const margin = { left: 64, right: 176, top: 40, bottom: 44 };
const plotWidth = width - margin.left - margin.right;
/** Okabe and Ito's palette, which stays apart for the colour-blind. */
const colours = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000', '#999999'];

/** Two panels from the first seed: the distribution of TTFT, and requests in the system over time. */
export function svgPlot(result: ExperimentResult): string {
  const { workload, load, pods, model } = result.scenario;
  const title = `${workload.name}, load ${load}, ${pods} x ${model.name}`;
  const height = 2 * (margin.top + panelHeight + margin.bottom);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`,
    `<title>${escapeXml(title)}</title>`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    ttftPanel(result.policies, margin.top, title),
    loadPanel(result.policies, 2 * margin.top + panelHeight + margin.bottom),
    legend(result.policies),
    '</svg>',
    '',
  ].join('\n');
}

/** Share of requests answered within a time; time on a logarithmic axis. */
function ttftPanel(policies: readonly PolicyRuns[], top: number, title: string): string {
  const least = Math.min(...policies.map(({ sample }) => quantile(sample.ttfts, 0.001)));
  const most = Math.max(...policies.map(({ sample }) => quantile(sample.ttfts, 0.999)));
  const low = Math.floor(Math.log10(Math.max(1, least)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(10, most))));
  const x = (ms: number) =>
    margin.left + (plotWidth * (Math.min(high, Math.max(low, Math.log10(ms))) - low)) / (high - low);
  const y = (share: number) => top + panelHeight * (1 - share);
  const decades = Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i));
  return [
    heading(`Time to first token: ${title}`, top),
    axes(top),
    ...decades.map((ms) => verticalTick(x(ms), top, durationLabel(ms))),
    ...[0, 0.25, 0.5, 0.75, 1].map((share) => horizontalTick(y(share), `${share * 100} %`)),
    ...policies.map(({ sample }, i) => line(distribution(sample, x, y), i)),
  ].join('\n');
}

function distribution(
  { ttfts }: RunSample,
  x: (ms: number) => number,
  y: (share: number) => number,
): readonly (readonly [number, number])[] {
  return Array.from(
    { length: 201 },
    (_, i) => [x(Math.max(1, quantile(ttfts, i / 200))), y(i / 200)] as const,
  );
}

function loadPanel(policies: readonly PolicyRuns[], top: number): string {
  const longestMs = Math.max(...policies.map(({ sample }) => sample.durationMs));
  const most = Math.max(1, ...policies.map(({ sample }) => Math.max(...sample.inSystem)));
  const x = (ms: number) => margin.left + (plotWidth * ms) / longestMs;
  const y = (requests: number) => top + panelHeight * (1 - requests / most);
  const shares = [0, 0.25, 0.5, 0.75, 1];
  return [
    heading('Requests in the system over time', top),
    axes(top),
    ...shares.map((share) => verticalTick(x(share * longestMs), top, durationLabel(share * longestMs))),
    ...shares.map((share) => horizontalTick(y(share * most), (share * most).toFixed(0))),
    ...policies.map(({ sample }, i) => {
      const stepMs = sample.durationMs / (sample.inSystem.length - 1);
      return line(
        Array.from(sample.inSystem, (requests, k) => [x(k * stepMs), y(requests)] as const),
        i,
      );
    }),
  ].join('\n');
}

function legend(policies: readonly PolicyRuns[]): string {
  const left = width - margin.right + 16;
  return policies
    .map(({ policy }, i) => {
      const y = margin.top + 12 + 18 * i;
      return `<rect x="${left}" y="${y - 9}" width="14" height="4" fill="${colourOf(i)}"/><text x="${left + 20}" y="${y - 3}">${escapeXml(policy)}</text>`;
    })
    .join('\n');
}

function line(points: readonly (readonly [number, number])[], index: number): string {
  const path = points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(' ');
  const dash = index >= colours.length ? ' stroke-dasharray="6 3"' : '';
  return `<polyline fill="none" stroke="${colourOf(index)}" stroke-width="1.5"${dash} points="${path}"/>`;
}

function axes(top: number): string {
  return `<rect x="${margin.left}" y="${top}" width="${plotWidth}" height="${panelHeight}" fill="none" stroke="#666666"/>`;
}

function heading(text: string, top: number): string {
  return `<text x="${margin.left}" y="${top - 12}" font-size="14">${escapeXml(text)}</text>`;
}

function verticalTick(x: number, top: number, label: string): string {
  const bottom = top + panelHeight;
  return `<line x1="${x}" y1="${top}" x2="${x}" y2="${bottom}" stroke="#e5e5e5"/><text x="${x}" y="${bottom + 18}" text-anchor="middle">${label}</text>`;
}

function horizontalTick(y: number, label: string): string {
  return `<line x1="${margin.left}" y1="${y}" x2="${margin.left + plotWidth}" y2="${y}" stroke="#e5e5e5"/><text x="${margin.left - 8}" y="${y + 4}" text-anchor="end">${label}</text>`;
}

function colourOf(index: number): string {
  return colours[index % colours.length]!;
}

function durationLabel(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return ms < 120_000 ? `${Math.round(ms / 100) / 10} s` : `${Math.round(ms / 60_000)} min`;
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
