import type { Assignment } from '../../src/endpoint-picker/index.ts';
import { parseInferenceRequest } from '../../src/endpoint-picker/inference-request.ts';
import { hashBlocks } from '../../src/prefix-index/index.ts';
import { scanEngineMetrics } from '../../src/protocol/engine-metrics.ts';
import { scanJson } from '../../src/protocol/json-scan.ts';
import type { SchedulingContext } from '../../src/scheduling/index.ts';
import {
  blendScorers,
  blockTokens,
  createFleet,
  defaultScorers,
  hashOptions,
  promptsOf,
  requestOf,
  vllmMetricsPage,
} from './fleet.ts';
import { deeplyMixed, manySmallMessages, oneLongString } from './large-bodies.ts';

export interface Operation {
  readonly op: string;
  readonly tokens?: number;
  readonly endpoints?: number;
  /** Builds what the operation needs and returns it; only the calls are timed. */
  readonly prepare: () => (call: number) => unknown;
}

const tokens = 12_000;
const endpoints = 100;
const groups = 16;
const perGroup = 8;

/** Calls go through all prompts in turn. */
function inTurn<T>(items: readonly T[]): (call: number) => T {
  return (call) => items[call % items.length]!;
}

const hashAll = () =>
  promptsOf(tokens, groups, perGroup).map((prompt) => hashBlocks('m', [prompt], hashOptions));

function chatBody(prompt: Buffer): Buffer {
  const messages = [
    { role: 'system', content: 'You are a helpful assistant.' },
    { role: 'user', content: prompt.toString() },
  ];
  return Buffer.from(JSON.stringify({ model: 'm', stream: true, messages, max_tokens: 256 }));
}

function parse(body: Buffer) {
  const headers = new Map([['content-type', 'application/json']]);
  const http = { id: 'bench', method: 'POST', path: '/v1/chat/completions', headers, body };
  return parseInferenceRequest(http, { blockTokens, maxPrefixTokens: hashOptions.maxTokens }).request;
}

const largeBodies = [
  ['one string', oneLongString],
  ['20,000 messages', manySmallMessages],
  ['deeply mixed', deeplyMixed],
] as const;
const scannedKeys: ReadonlySet<string> = new Set(['model', 'stream', 'messages', 'tools']);

/** From a prompt to an assignment, of which `inFlight` are open at any time. */
function decision(op: string, inFlight: number, scorers: typeof defaultScorers): Operation {
  return {
    op,
    tokens,
    endpoints,
    prepare: () => {
      const fleet = createFleet(endpoints, scorers());
      const prompt = inTurn(promptsOf(tokens, groups, perGroup));
      const signal = new AbortController().signal;
      const open: Assignment[] = [];
      return async (call) => {
        const prefix = hashBlocks('m', [prompt(call)], hashOptions);
        open.push(await fleet.picker.pick(requestOf(tokens, prefix), { subset: undefined, signal }));
        if (open.length > inFlight)
          open.shift()?.finish({ kind: 'completed', status: 200, usage: undefined });
      };
    },
  };
}

export const operations: readonly Operation[] = [
  {
    op: 'parse and hash',
    tokens,
    prepare: () => {
      const body = inTurn(promptsOf(tokens, groups, 1).map(chatBody));
      return (call) => parse(body(call));
    },
  },
  ...largeBodies.map(([name, make]) => ({
    op: `parse and hash 1 MB, ${name}`,
    prepare: () => {
      const body = make();
      return () => parse(body);
    },
  })),
  ...largeBodies.map(([name, make]) => ({
    op: `scan 1 MB, ${name}`,
    prepare: () => {
      const body = make();
      return () => scanJson(body, { keys: scannedKeys });
    },
  })),
  {
    op: 'hash',
    tokens,
    prepare: () => {
      const prompt = inTurn(promptsOf(tokens, groups, 1));
      return (call) => hashBlocks('m', [prompt(call)], hashOptions);
    },
  },
  {
    op: 'match',
    tokens,
    endpoints,
    prepare: () => {
      const { prefixIndex } = createFleet(endpoints);
      const all = hashAll();
      for (const [i, hashes] of all.entries()) prefixIndex.record((i * 7) % endpoints, hashes);
      const hashes = inTurn(all);
      return (call) => prefixIndex.match(hashes(call)).cachedBlocks(call % endpoints);
    },
  },
  {
    op: 'record',
    tokens,
    endpoints,
    prepare: () => {
      const { prefixIndex } = createFleet(endpoints);
      const hashes = inTurn(hashAll());
      return (call) => prefixIndex.record((call * 7) % endpoints, hashes(call));
    },
  },
  {
    op: 'score and pick',
    tokens,
    endpoints,
    prepare: () => {
      const { pool, profile } = createFleet(endpoints);
      const snapshot = pool.snapshot(performance.now());
      const request = requestOf(tokens);
      const context: SchedulingContext = {
        request,
        nowMs: 0,
        random: Math.random,
        cachedTokens: ({ slot }) => (slot % 5 === 0 ? 9000 : 0),
      };
      return () => profile.run(context, snapshot);
    },
  },
  decision('full decision by a blend: hash, pick, finish', 0, () => blendScorers),
  decision('full decision by a blend with 500 requests in flight', 500, () => blendScorers),
  decision('full decision: hash, pick, finish', 0, defaultScorers),
  decision('full decision with 500 requests in flight', 500, defaultScorers),
  {
    op: 'scan metrics of vLLM, 612 lines',
    prepare: () => {
      const page = vllmMetricsPage();
      return () => scanEngineMetrics(page);
    },
  },
];
