import { createHermesParser } from './hermes-parser.ts';
import { createLlama3JsonParser } from './llama3-json-parser.ts';
import { createMistralParser } from './mistral-parser.ts';
import type { OutputParser } from './output-parser.ts';
import { createPhi4MiniParser } from './phi4-mini-parser.ts';
import { createPythonicParser } from './pythonic-parser.ts';
import { withoutBlanksAroundCalls } from './quiet-blanks.ts';
import { createQwen3XmlParser } from './qwen3-xml-parser.ts';
import { createThinkParser } from './think-parser.ts';
import type { ToolParameters } from './tool-parameters.ts';

/** How a family of models writes tool calls. */
export interface ToolCallFormat {
  /** `tools`: of the request; some formats write values without telling strings from numbers. */
  readonly create: (tools: ToolParameters) => OutputParser;
  /** Its markers are control tokens, which answers otherwise leave out. */
  readonly needsSpecialTokens: boolean;
  /** Characters in the id of a call; Mistral's templates insist on 9. */
  readonly callIdLength: number;
}

/** How a family of models marks its reasoning. */
export interface ReasoningFormat {
  /** `prompt`: what the model continues. */
  readonly create: (prompt: string) => OutputParser;
}

const hermes: ToolCallFormat = {
  create: () => withoutBlanksAroundCalls(createHermesParser()),
  needsSpecialTokens: false,
  callIdLength: 24,
};

const pythonic: ToolCallFormat = {
  create: () => withoutBlanksAroundCalls(createPythonicParser()),
  needsSpecialTokens: false,
  callIdLength: 24,
};

const qwen3Xml: ToolCallFormat = {
  create: (tools) => withoutBlanksAroundCalls(createQwen3XmlParser(tools)),
  needsSpecialTokens: false,
  callIdLength: 24,
};

/** `--tool-call-parser`, by vLLM's names. */
export const toolCallFormats: Readonly<Record<string, ToolCallFormat>> = {
  hermes,
  qwen: hermes,
  llama3_json: {
    create: () => withoutBlanksAroundCalls(createLlama3JsonParser()),
    needsSpecialTokens: true,
    callIdLength: 24,
  },
  phi4_mini_json: {
    create: () => withoutBlanksAroundCalls(createPhi4MiniParser()),
    needsSpecialTokens: false,
    callIdLength: 24,
  },
  mistral: {
    create: () => withoutBlanksAroundCalls(createMistralParser()),
    needsSpecialTokens: true,
    callIdLength: 9,
  },
  pythonic,
  llama4_pythonic: pythonic,
  qwen3_coder: qwen3Xml,
  qwen3_xml: qwen3Xml,
};

/** `--reasoning-parser`, by vLLM's names. DeepSeek R1 reasons always, Qwen3 if its template lets it. */
export const reasoningFormats: Readonly<Record<string, ReasoningFormat>> = {
  deepseek_r1: { create: () => createThinkParser({ beginsInside: true }) },
  qwen3: {
    create: (prompt) => createThinkParser({ beginsInside: prompt.trimEnd().endsWith('<think>') }),
  },
};
