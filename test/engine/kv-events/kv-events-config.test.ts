import { expect, test } from 'vitest';
import { engineOptionsFromFlags } from '../../../src/engine/flags/index.ts';
import { readKvEventsConfig } from '../../../src/engine/kv-events/index.ts';
import { toOpenOptions } from '../../../src/engine/to-open-options.ts';

test('events are off unless they are enabled', () => {
  expect(readKvEventsConfig(undefined)).toBeUndefined();
  expect(readKvEventsConfig({ publisher: 'zmq' })).toBeUndefined();
  expect(readKvEventsConfig({ enable_kv_cache_events: true, publisher: 'null' })).toBeUndefined();
});

test('enabled alone, they have vLLM’s defaults', () => {
  expect(readKvEventsConfig({ enable_kv_cache_events: true, replay_endpoint: null })).toEqual({
    endpoint: 'tcp://*:5557',
    replayEndpoint: undefined,
    bufferSteps: 10_000,
    highWaterMark: 100_000,
    maxQueueSize: 100_000,
    topic: '',
    encoding: 'array',
    hashes: 'int',
  });
});

test('everything that is wrong is named at once', () => {
  const read = () =>
    readKvEventsConfig({ publisher: 'kafka', endpoint: '*:5557', buffer_steps: -1, bufer: 1 });
  expect(read).toThrow(/publisher must be one of "zmq", "null", got "kafka"/);
  expect(read).toThrow(/endpoint must be a ZeroMQ endpoint .* got "\*:5557"/);
  expect(read).toThrow(/buffer_steps must be a whole number, got -1/);
  expect(read).toThrow(/no key "bufer"/);
});

test('the flag takes JSON, and the engine collects events because of it', () => {
  const text = '{"enable_kv_cache_events":true,"endpoint":"tcp://127.0.0.1:5557"}';
  const options = engineOptionsFromFlags('/m', { 'kv-events-config': text });
  expect(toOpenOptions(options, []).collectsKvEvents).toBe(true);
  expect(toOpenOptions({ model: '/m' }, []).collectsKvEvents).toBe(false);
  expect(() => engineOptionsFromFlags('/m', { 'kv-events-config': '{' })).toThrow(/must be a JSON object/);
});
