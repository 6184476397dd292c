import { contentFormats } from '../../tokenizer/index.ts';
import { reasoningFormats, toolCallFormats } from '../output-parsers/index.ts';
import type { EngineFlag } from './engine-flag.ts';

/** How requests become prompts and tokens become answers. */
export const textFlags: readonly EngineFlag[] = [
  {
    name: 'chat-template',
    option: 'chatTemplate',
    type: 'string',
    default: undefined,
    help: 'Jinja file that replaces the model’s chat template.',
  },
  {
    name: 'chat-template-content-format',
    option: 'chatTemplateContentFormat',
    type: 'string',
    choices: contentFormats,
    default: 'auto',
    help: 'Message contents as one text (string) or as a list of parts (openai); auto looks at the template.',
  },
  {
    name: 'trust-request-chat-template',
    option: 'trustRequestChatTemplate',
    type: 'boolean',
    default: false,
    help: 'Use the "chat_template" of requests; a template can keep the engine busy without end.',
  },
  {
    name: 'default-chat-template-kwargs',
    option: 'defaultChatTemplateKwargs',
    type: 'json',
    default: undefined,
    help: 'Variables of the chat template below those of requests, such as {"enable_thinking":false}.',
  },
  {
    name: 'generation-config',
    option: 'generationConfig',
    type: 'string',
    choices: ['auto', 'vllm'],
    default: 'auto',
    help: 'Where sampling defaults come from: generation_config.json, or the API’s own.',
  },
  {
    name: 'override-generation-config',
    option: 'overrideGenerationConfig',
    type: 'json',
    default: undefined,
    help: 'Sampling defaults that go before the model’s, such as {"temperature":0.6}.',
  },
  {
    name: 'pooler-config',
    option: 'poolerConfig',
    type: 'json',
    default: undefined,
    help: 'How embeddings are made, such as {"pooling_type":"MEAN","normalize":true}. Default: what the model folder says, else LAST and normalized.',
  },
  {
    name: 'enable-auto-tool-choice',
    option: 'enableAutoToolChoice',
    type: 'boolean',
    default: false,
    help: 'Recognizes tool calls in chat answers; needs --tool-call-parser.',
  },
  {
    name: 'tool-call-parser',
    option: 'toolCallParser',
    type: 'string',
    choices: Object.keys(toolCallFormats),
    default: undefined,
    help: 'How the model writes tool calls.',
  },
  {
    name: 'reasoning-parser',
    option: 'reasoningParser',
    type: 'string',
    choices: Object.keys(reasoningFormats),
    default: undefined,
    help: 'How the model marks its reasoning, which answers then carry apart from the content.',
  },
];
