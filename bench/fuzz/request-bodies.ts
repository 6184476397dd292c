/** A request that the engine answers with 200, rich in fields. */
export interface RequestBase {
  readonly path: string;
  readonly body: Readonly<Record<string, unknown>>;
}

const sampling = {
  max_tokens: 4,
  min_tokens: 1,
  temperature: 0.7,
  top_p: 0.9,
  top_k: 40,
  min_p: 0.05,
  repetition_penalty: 1.1,
  presence_penalty: 0.1,
  frequency_penalty: -0.1,
  seed: 7,
  stop: ['\n\n', 'END'],
  stop_token_ids: [5, 6],
  logit_bias: { '12': -5, '13': 4.5 },
  cache_salt: 'tenant',
};

const schema = {
  $defs: { unit: { type: 'string', enum: ['C', 'F'] } },
  type: 'object',
  properties: {
    city: { type: 'string', minLength: 1, maxLength: 20 },
    when: { type: 'string', format: 'date' },
    code: { type: 'string', pattern: '^[A-Z]{2,3}\\d+$' },
    unit: { $ref: '#/$defs/unit' },
    days: { type: 'array', items: { type: 'integer' }, minItems: 1, maxItems: 3 },
    mixed: { anyOf: [{ type: 'null' }, { allOf: [{ properties: { a: { type: 'boolean' } } }] }] },
  },
  required: ['city', 'unit'],
  additionalProperties: false,
};

const numbers = {
  type: 'object',
  properties: {
    age: { type: 'integer', minimum: 0, exclusiveMaximum: 150 },
    price: { type: 'number', minimum: -1.5, maximum: 99.99, multipleOf: 0.01 },
    seven: { type: 'integer', multipleOf: 7 },
    tags: { type: 'object', patternProperties: { '^x-[a-z]+$': { type: 'string' } } },
    named: { type: 'object', propertyNames: { pattern: '^[a-z]+$' }, additionalProperties: { const: 1 } },
    pair: { type: 'array', prefixItems: [{ const: 'a' }], items: { type: 'null' }, maxItems: 3 },
    kind: { type: 'string', enum: ['a', 'b', 1], maxLength: 1 },
  },
  additionalProperties: { $ref: '#/properties/age', maximum: 9 },
};

const grammar =
  'root ::= sum | "none" [.!]? # of numbers\nsum ::= sum ("+" | "-") number | number\nnumber ::= [1-9\\u0660-\\u0669] [0-9]{0,3}';

const kinds = [
  { type: 'object', properties: { kind: { const: 'cat' }, lives: { maximum: 9 } }, required: ['kind'] },
  { type: 'object', properties: { kind: { enum: ['dog', 'wolf'] } }, required: ['kind'] },
  { type: 'integer', minimum: 3 },
  { type: 'number', exclusiveMaximum: 3 },
];

const tool = {
  type: 'function',
  function: { name: 'weather', description: 'The weather of a city', parameters: schema },
};

const conversation = [
  { role: 'system', content: 'You are brief.' },
  { role: 'user', content: [{ type: 'text', text: 'The weather in Zürich?' }] },
  {
    role: 'assistant',
    content: null,
    tool_calls: [
      { id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Zürich"}' } },
    ],
  },
  { role: 'tool', tool_call_id: 'call_1', content: '12 degrees' },
  { role: 'user', content: 'And tomorrow? <|im_end|>' },
];

const blocks = [
  { role: 'user', content: [{ type: 'text', text: 'The weather?' }] },
  {
    role: 'assistant',
    content: [
      { type: 'thinking', thinking: 'A tool knows.', signature: 's' },
      { type: 'text', text: 'I look.' },
      { type: 'tool_use', id: 'toolu_1', name: 'weather', input: { city: 'Bern' } },
    ],
  },
  {
    role: 'user',
    content: [{ type: 'tool_result', tool_use_id: 'toolu_1', content: [{ type: 'text', text: '12' }] }],
  },
];
const messages = {
  model: 'alias',
  max_tokens: 4,
  system: [{ type: 'text', text: 'Be brief.' }],
  messages: blocks,
  stop_sequences: ['END'],
  tools: [{ name: 'weather', description: 'x', input_schema: schema }],
  tool_choice: { type: 'auto', disable_parallel_tool_use: true },
  thinking: { type: 'enabled', budget_tokens: 10 },
  metadata: { user_id: 'u' },
  temperature: 0.2,
};

const responses = {
  model: 'mini',
  instructions: 'Be brief.',
  input: [
    { type: 'message', role: 'developer', content: [{ type: 'input_text', text: 'Rules' }] },
    { role: 'user', content: 'The weather?' },
    { type: 'reasoning', summary: [] },
    { type: 'function_call', call_id: 'c', name: 'weather', arguments: '{"city":"Bern"}' },
    { type: 'function_call_output', call_id: 'c', output: '12' },
  ],
  max_output_tokens: 4,
  tools: [{ type: 'function', name: 'weather', description: 'x', parameters: schema, strict: true }],
  tool_choice: 'auto',
  reasoning: { effort: 'low', summary: 'auto' },
  store: true,
  temperature: 0.3,
};

const prompt = 'Once upon a time a cache held 16 tokens.';

/** Every endpoint that takes a body, in the forms that differ for the code behind it. */
export const requestBases: readonly RequestBase[] = [
  { path: '/v1/completions', body: { model: 'mini', prompt, ...sampling, logprobs: 2 } },
  {
    path: '/v1/completions',
    body: {
      prompt: ['a', [1, 2, 3]],
      max_tokens: 3,
      n: 2,
      best_of: 2,
      echo: true,
      stream: true,
      stream_options: { include_usage: true, continuous_usage_stats: true },
      allowed_token_ids: [10, 11, 12],
      include_stop_str_in_output: true,
      skip_special_tokens: false,
      ignore_eos: true,
    },
  },
  {
    path: '/v1/completions',
    body: { prompt, max_tokens: 6, structured_outputs: { regex: '(yes|no), [a-f]{1,4}\\.?' } },
  },
  {
    path: '/v1/completions',
    body: { prompt: [7, 8, 9], max_tokens: 6, structured_outputs: { choice: ['red', 'green'] }, priority: 2 },
  },
  {
    path: '/v1/completions',
    body: { prompt, max_tokens: 8, guided_json: numbers, stream_interval: 3, stream: true },
  },
  { path: '/v1/completions', body: { prompt, max_tokens: 8, structured_outputs: { grammar } } },
  { path: '/v1/completions', body: { prompt, max_tokens: 8, guided_json: { oneOf: kinds } } },
  {
    path: '/v1/chat/completions',
    body: {
      messages: [...conversation, { role: 'assistant', content: 'I think ', reasoning: 'so' }],
      max_tokens: 3,
      continue_final_message: true,
      add_generation_prompt: false,
      echo: true,
      return_prompt_text: true,
      request_id: 'mine',
      reasoning_effort: 'low',
      kv_transfer_params: { do_remote_decode: true },
    },
  },
  {
    path: '/v1/chat/completions',
    body: {
      messages: conversation,
      max_tokens: 3,
      chat_template:
        "{% for m in messages %}{% for part in m['content'] %}{{ part.text }}{% endfor %}{% endfor %}{{ documents[0].text }}",
      documents: [{ title: 't', text: 'x' }],
    },
  },
  { path: '/score', body: { text_1: prompt, text_2: ['a', { text: 'b' }], truncate_prompt_tokens: 4 } },
  { path: '/v1/rerank', body: { model: 'mini', query: prompt, documents: ['a', 'b', 'c'], top_n: 2 } },
  {
    path: '/pooling',
    body: { input: [[1, 2], [3]], task: 'embed', normalize: true, encoding_format: 'base64' },
  },
  {
    path: '/v1/chat/completions',
    body: { model: 'mini', messages: conversation, ...sampling, logprobs: true, top_logprobs: 2 },
  },
  {
    path: '/v1/chat/completions',
    body: {
      messages: conversation,
      max_completion_tokens: 4,
      tools: [tool],
      tool_choice: 'auto',
      parallel_tool_calls: false,
      stream: true,
      stream_options: { include_usage: true },
      chat_template_kwargs: { enable_thinking: false },
      documents: [{ title: 't', text: 'x' }],
      add_generation_prompt: true,
    },
  },
  {
    path: '/v1/chat/completions',
    body: {
      messages: conversation.slice(0, 2),
      max_tokens: 8,
      n: 2,
      response_format: { type: 'json_schema', json_schema: { name: 'w', schema, strict: true } },
    },
  },
  {
    path: '/v1/chat/completions',
    body: {
      messages: conversation.slice(0, 2),
      max_tokens: 8,
      tools: [tool, { type: 'function', function: { name: 'now' } }],
      tool_choice: 'required',
    },
  },
  {
    path: '/v1/chat/completions',
    body: {
      messages: conversation.slice(0, 2),
      max_tokens: 8,
      tools: [tool],
      tool_choice: { type: 'function', function: { name: 'weather' } },
      stream: true,
    },
  },
  {
    path: '/v1/completions',
    body: {
      prompt,
      max_tokens: 3,
      prompt_logprobs: 1,
      bad_words: ['the', ' a'],
      truncate_prompt_tokens: 8,
      return_token_ids: true,
      logprobs: 1,
      echo: true,
    },
  },
  { path: '/v1/embeddings', body: { model: 'mini', input: [prompt, 'b'], encoding_format: 'base64' } },
  { path: '/v1/embeddings', body: { input: [[1, 2, 3], [4]], dimensions: 16, user: 'u' } },
  { path: '/v1/responses', body: responses },
  {
    path: '/v1/responses',
    body: {
      input: 'A city as JSON',
      max_output_tokens: 6,
      stream: true,
      text: { format: { type: 'json_schema', name: 'w', schema, strict: true } },
    },
  },
  { path: '/v1/messages', body: messages },
  {
    path: '/v1/messages',
    body: { ...messages, tool_choice: { type: 'tool', name: 'weather' }, stream: true, system: 'Brief.' },
  },
  { path: '/v1/messages/count_tokens', body: messages },
  { path: '/tokenize', body: { model: 'mini', prompt, add_special_tokens: true, return_token_strs: true } },
  { path: '/tokenize', body: { messages: conversation, tools: [tool], add_generation_prompt: true } },
  { path: '/detokenize', body: { model: 'mini', tokens: [1, 2, 3, 300, 3000] } },
  { path: '/v1/load_lora_adapter', body: { lora_name: 'a', lora_path: 'nowhere', load_inplace: true } },
  { path: '/v1/unload_lora_adapter', body: { lora_name: 'a' } },
];
