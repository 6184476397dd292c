import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { type Bootstrap, bootstrapFor, connectionManager } from '../../bench/envoy/bootstrap.ts';
import { controlHeaders } from '../../src/protocol/headers.ts';

describe.each(['standalone', 'override-host'])('config/envoy/%s.yaml', (name) => {
  const text = readFileSync(new URL(`../../config/envoy/${name}.yaml`, import.meta.url), 'utf8');
  const manager = connectionManager(parse(text) as Bootstrap);

  it('removes every control header before anything reads it', () => {
    const [extension] = manager['early_header_mutation_extensions'] as [
      { typed_config: { mutations: { remove: string }[] } },
    ];
    expect(extension.typed_config.mutations.map(({ remove }) => remove)).toEqual(controlHeaders);
  });

  it('asks for full duplex in both directions, with trailers', () => {
    const [extProc] = manager.http_filters as [{ typed_config: { processing_mode: object } }];
    expect(extProc.typed_config.processing_mode).toEqual({
      request_header_mode: 'SEND',
      request_body_mode: 'FULL_DUPLEX_STREAMED',
      request_trailer_mode: 'SEND',
      response_header_mode: 'SEND',
      response_body_mode: 'FULL_DUPLEX_STREAMED',
      response_trailer_mode: 'SEND',
    });
  });

  it('says what an older Envoy needs, and tests give it that', () => {
    const old = bootstrapFor(name as 'standalone', { binary: '', version: '1.36.4' });
    const [setting] = /envoy\.reloadable_features\.\w+: \w+/.exec(text) ?? [''];
    const [key = '', value] = setting.split(': ');
    expect(old['layered_runtime']).toEqual({
      layers: [{ name: 'static', static_layer: { [key]: value === 'true' } }],
    });
    expect(JSON.stringify(old)).not.toContain('selected_host_key');
    expect(bootstrapFor(name as 'standalone', { binary: '', version: '1.39.0' })).toEqual(parse(text));
  });
});
