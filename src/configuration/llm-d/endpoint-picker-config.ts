import { z } from 'zod';
import { duration, quantity } from './values.ts';

/**
 * The document as llm-d decodes it: strict at every level. What only one of its versions has is known in all of
 * them: `dataLayer.crossReplica` is of v1, `parser` and `dataLayer.crossReplicaSyncInterval` of v1alpha1.
 */

const apiVersions = ['llm-d.ai/v1', 'llm-d.ai/v1alpha1', 'inference.networking.x-k8s.io/v1alpha1'] as const;

const reference = z.strictObject({ pluginRef: z.string().min(1) });
const optionalReference = z.strictObject({ pluginRef: z.string().optional() });

const priorityBand = {
  maxBytes: quantity.optional(),
  maxRequests: quantity.optional(),
  defaultRequestTTL: duration.optional(),
  fairnessPolicyRef: z.string().optional(),
  orderingPolicyRef: z.string().optional(),
};

const flowControl = z.strictObject({
  maxBytes: quantity.optional(),
  maxRequests: quantity.optional(),
  defaultRequestTTL: duration.optional(),
  noEndpointRequestTTL: duration.optional(),
  defaultPriorityBand: z.strictObject({ priority: z.int().optional(), ...priorityBand }).optional(),
  defaultNegativePriorityBand: z.strictObject({ priority: z.int().optional(), ...priorityBand }).optional(),
  priorityBands: z.array(z.strictObject({ priority: z.int(), ...priorityBand })).optional(),
  usageLimitPolicyPluginRef: z.string().optional(),
  bandSelectionPolicyPluginRef: z.string().optional(),
  saturationDetector: optionalReference.optional(),
  enableEviction: z.boolean().optional(),
});

const dataLayer = z.strictObject({
  injectDefaults: z.boolean().optional(),
  sources: z
    .array(z.strictObject({ pluginRef: z.string().min(1), extractors: z.array(reference).default([]) }))
    .default([]),
  discovery: z
    .strictObject({
      endpoints: reference.optional(),
      peers: reference.optional(),
      /** Before `endpoints`. */
      pluginRef: z.string().optional(),
    })
    .optional(),
  peerDiscovery: reference.optional(),
  crossReplica: z
    .strictObject({
      syncerPluginRef: z.string().optional(),
      syncInterval: duration.optional(),
      publishTimeout: duration.optional(),
    })
    .optional(),
  crossReplicaSyncerPluginRef: z.string().optional(),
  crossReplicaSyncInterval: duration.optional(),
  crossReplicaPublishTimeout: duration.optional(),
});

export const endpointPickerConfigSchema = z.strictObject({
  apiVersion: z.enum(apiVersions),
  kind: z.literal('EndpointPickerConfig'),
  featureGates: z.array(z.string()).default([]),
  plugins: z
    .array(
      z.strictObject({
        name: z.string().min(1).optional(),
        type: z.string().min(1),
        parameters: z.record(z.string(), z.unknown()).optional(),
      }),
    )
    .default([]),
  schedulingProfiles: z
    .array(
      z.strictObject({
        name: z.string().min(1),
        plugins: z
          .array(z.strictObject({ pluginRef: z.string().min(1), weight: z.number().min(0).optional() }))
          .default([]),
      }),
    )
    .default([]),
  dataLayer: dataLayer.optional(),
  flowControl: flowControl.optional(),
  requestHandler: z
    .strictObject({ parsers: z.array(reference).default([]), propagatePriority: z.boolean().default(false) })
    .optional(),
  saturationDetector: optionalReference.optional(),
  parser: reference.optional(),
});

export type EndpointPickerConfig = z.output<typeof endpointPickerConfigSchema>;

/** By its kind or its group, so that a misspelt other half is told as such. */
export function isEndpointPickerConfig(value: unknown): boolean {
  const { apiVersion, kind } = (typeof value === 'object' && value !== null ? value : {}) as {
    readonly apiVersion?: unknown;
    readonly kind?: unknown;
  };
  return kind === 'EndpointPickerConfig' || apiVersions.some((known) => known === apiVersion);
}
