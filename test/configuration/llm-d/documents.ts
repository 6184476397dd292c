/** Documents as llm-d publishes them. */

/** `default-plugins.yaml` of llm-d's charts, which is also its built-in default. */
export const chartDefaults = `apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: queue-scorer
- type: kv-cache-utilization-scorer
- type: prefix-cache-scorer
- type: metrics-data-source
  parameters:
    scheme: "http"
    path: "/metrics"
    insecureSkipVerify: true
- type: core-metrics-extractor
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: queue-scorer
    weight: 2
  - pluginRef: kv-cache-utilization-scorer
    weight: 2
  - pluginRef: prefix-cache-scorer
    weight: 3
dataLayer:
  sources:
  - pluginRef: metrics-data-source
    extractors:
    - pluginRef: core-metrics-extractor
`;

/** The newer guides: sticky by prefix until saturated, then the least tokens. */
export const guide = `apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: approx-prefix-cache-producer
  parameters: {maxPrefixTokensToMatch: 16384, lruCapacityPerServer: 1000, autoTune: false, blockSizeTokens: 128}
- name: load
  type: inflight-load-producer
  parameters: {addEstimatedOutputTokens: true}
- type: prefix-cache-affinity-filter
  parameters: {affinityThreshold: 0.9, maxTTFTPenaltyMs: 5000, inFlightLoadProducerName: load}
- type: token-load-scorer
  parameters: {queueThresholdTokens: 1000}
- type: random-picker
  parameters: {maxNumOfEndpoints: 3}
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: prefix-cache-affinity-filter
  - pluginRef: token-load-scorer
  - pluginRef: random-picker
`;

/** Everything that the format has: disaggregation, flow control, custom engines. */
export const everything = `apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
featureGates:
  - flowControl                      # also "flowControl=true|false"
  - haPopulateNonLeaderDatastore=true
plugins:
  # data
  - type: metrics-data-source
    parameters: {scheme: http, path: /metrics, insecureSkipVerify: true}
  - type: core-metrics-extractor
    parameters:
      engineLabelKey: llm-d.ai/engine-type
      defaultEngine: vllm
      engineConfigs:
        - name: my-engine
          queuedRequestsSpec: "my:waiting"
          runningRequestsSpec: "my:running"
          kvUsageSpec: "my:kv_ratio"
          cacheInfoSpec: "my:cache_info"
          cacheBlockSizeLabelName: block_size
          cacheNumBlocksLabelName: num_blocks
          customMetrics:
            - {attributeKey: gpu-temp, metricSpec: "my:temp"}
  - name: prefix-index
    type: approx-prefix-cache-producer
    parameters: {autoTune: true, blockSizeTokens: 64, maxPrefixTokensToMatch: 131072, lruCapacityPerServer: 31250}
  - name: load
    type: inflight-load-producer
    parameters: {addEstimatedOutputTokens: true, outputRatio: 1.5, prefixMatchInfoProducerName: prefix-index}
  # scheduling
  - type: decode-filter
  - type: prefill-filter
  - name: sticky
    type: prefix-cache-affinity-filter
    parameters:
      affinityThreshold: 0.8
      maxTTFTPenaltyMs: 18000
      ttftSource: prefillThroughput
      peakPrefillThroughput: 15928
      prefixMatchInfoProducerName: prefix-index
      inFlightLoadProducerName: load
  - name: tokens
    type: token-load-scorer
    parameters: {queueThresholdTokens: 4194304, inFlightLoadProducerName: load}
  - name: busy
    type: active-request-scorer
    parameters: {idleThreshold: 0, maxBusyScore: 1.0, inFlightLoadProducerName: load}
  - type: max-score-picker
    parameters: {maxNumOfEndpoints: 1}
  - name: remote-prefill
    type: prefix-based-pd-decider
    parameters: {nonCachedTokens: 512}
  - type: disagg-profile-handler
    parameters:
      stageOrder: decode-first
      profiles: {decode: decode, prefill: prefill}
      deciders: {prefill: remote-prefill}
  # flow control
  - name: sat
    type: concurrency-detector
    parameters: {maxConcurrency: 64, headroom: 0.2, concurrencyMode: requests, inFlightLoadProducerName: load}
  - type: round-robin-fairness-policy
  - type: edf-ordering-policy
schedulingProfiles:
  - name: decode
    plugins:
      - pluginRef: decode-filter
      - {pluginRef: busy, weight: 1}
      - pluginRef: max-score-picker
  - name: prefill
    plugins:
      - pluginRef: prefill-filter
      - pluginRef: sticky
      - {pluginRef: tokens, weight: 2}
      - pluginRef: max-score-picker
dataLayer:
  injectDefaults: true
  sources:
    - pluginRef: metrics-data-source
      extractors:
        - pluginRef: core-metrics-extractor
  # discovery: {pluginRef: my-file-discovery}
  # peerDiscovery: {pluginRef: ...}
  # crossReplicaSyncerPluginRef: ...
  crossReplicaSyncInterval: 200ms
flowControl:
  maxRequests: "20k"
  maxBytes: 8Gi
  defaultRequestTTL: 60s
  noEndpointRequestTTL: 120s
  saturationDetector: {pluginRef: sat}
  usageLimitPolicyPluginRef: static-usage-limit-policy
  enableEviction: false
  defaultPriorityBand: {maxRequests: "5k", maxBytes: 1G}
  defaultNegativePriorityBand: {maxRequests: "1k"}
  priorityBands:
    - priority: 10
      maxRequests: "2k"
      fairnessPolicyRef: round-robin-fairness-policy
      orderingPolicyRef: edf-ordering-policy
requestHandler:
  parsers:
    - pluginRef: openai-parser
    - pluginRef: anthropic-parser
    - pluginRef: passthrough-parser
`;
