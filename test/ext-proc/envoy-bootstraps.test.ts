import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { controlHeaders } from '../../src/protocol/headers.ts';
import { type Bootstrap, connectionManager } from '../support/envoy.ts';

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
});
