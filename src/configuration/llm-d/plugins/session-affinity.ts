import { z } from 'zod';
import type { Mapping } from '../plugin-type.ts';

export const sessionAffinityParameters = z.strictObject({
  strategy: z.enum(['encoded_endpoint_header', 'session_id']).default('encoded_endpoint_header'),
  encodedEndpointHeaderConfig: z.strictObject({ header: z.string().optional() }).optional(),
  sessionIdConfig: z
    .strictObject({
      sources: z
        .array(
          z.strictObject({
            header: z.string().optional(),
            attribute: z.string().optional(),
            producer: z.string().optional(),
          }),
        )
        .default([]),
      evictionTtlSeconds: z.number().min(0).default(0),
      evictionSweepSeconds: z.number().min(0).default(0),
    })
    .prefault({}),
  profileName: z.string().optional(),
});

/** Scorer and filter of this name have the same parameters, and the same memory. */
export function sessionPin(
  role: 'scorer' | 'filter',
  { strategy, sessionIdConfig }: z.output<typeof sessionAffinityParameters>,
): Mapping {
  if (strategy === 'encoded_endpoint_header')
    return {
      kind: 'refused',
      note: 'responses get no session token here, so nothing would ever be pinned; set `strategy: session_id`, where clients send x-session-id',
    };
  const { sources, evictionTtlSeconds } = sessionIdConfig;
  if (sources.some(({ header, attribute }) => (header === undefined) === (attribute === undefined)))
    return {
      kind: 'refused',
      note: 'each of sessionIdConfig.sources must have either `header` or `attribute`',
    };
  if (sources.some(({ attribute }) => attribute !== undefined))
    return {
      kind: 'refused',
      note: 'requests have no attributes here; name a header in sessionIdConfig.sources',
    };
  const headers = sources.flatMap(({ header }) => (header === undefined ? [] : [header]));
  return {
    kind: 'plugin',
    role,
    name: 'session-pin',
    parameters: {
      headers: headers.length === 0 ? ['x-session-id'] : headers,
      ttlSeconds: evictionTtlSeconds || 300,
    },
  };
}
