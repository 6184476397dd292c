import { destinationNamespace, servedEndpointKey, subsetKey, subsetNamespace } from '../protocol/headers.ts';
import type { Metadata, StructValue } from './messages.ts';

/**
 * The endpoints that the data plane allows, or undefined if it sends no hint (Endpoint Picker Protocol, "Subset
 * hint"). Data planes spell it as a list, as a comma string, or as a list of comma strings. An empty array
 * means that the hint is there and allows nothing.
 */
export function subsetHint(metadata: Metadata | undefined): readonly string[] | undefined {
  const value = metadata?.[subsetNamespace]?.fields?.[subsetKey];
  if (value === undefined) return undefined;
  return strings(value)
    .flatMap((text) => text.split(','))
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
}

/** The endpoint that really served, as reported in the response phase. */
export function servedEndpoint(metadata: Metadata | undefined): string | undefined {
  const served = metadata?.[destinationNamespace]?.fields?.[servedEndpointKey]?.stringValue?.trim();
  return served === '' ? undefined : served;
}

/**
 * Why the data plane made up the response itself, e.g. `upstream_reset_before_response_started{…}`. Only there
 * if its configuration asks for it: `response_attributes: [response.code_details]`.
 */
export function responseCodeDetails(attributes: Metadata | undefined): string | undefined {
  return attributes?.['envoy.filters.http.ext_proc']?.fields?.['response.code_details']?.stringValue;
}

function strings(value: StructValue): readonly string[] {
  if (value.stringValue !== undefined) return [value.stringValue];
  return (value.listValue?.values ?? []).flatMap((entry) =>
    entry.stringValue === undefined ? [] : [entry.stringValue],
  );
}
