import type { TokenizerFiles } from '../../../tokenizer/index.ts';
import { CheckpointError } from '../checkpoint-error.ts';
import { GgufFields } from './gguf-fields.ts';
import type { GgufFile } from './gguf-file.ts';
import { mergesOfScores } from './merges-of-scores.ts';
import { PRE_TOKENIZERS } from './pre-tokenizers.ts';

/** `tokenizer.ggml.token_type`. */
const TokenType = { Control: 3, UserDefined: 4, Byte: 6 } as const;
const SPACE = '▁';

/** The tokenizer inside a GGUF file, as the tokenizer.json that it was converted from. */
export function ggufTokenizer(gguf: GgufFile): TokenizerFiles {
  const fields = new GgufFields(gguf);
  const model = fields.text('tokenizer.ggml.model');
  const tokens = fields.texts('tokenizer.ggml.tokens');
  if (tokens === undefined) throw fields.missing('tokenizer.ggml.tokens');
  const types = fields.numbers('tokenizer.ggml.token_type') ?? [];
  const token = (key: string) => tokens[fields.number(`tokenizer.ggml.${key}_token_id`) ?? -1];
  const parts = partsOf(gguf, fields, model, tokens);
  const bos = token('bos');
  const addsBos = fields.boolean('tokenizer.ggml.add_bos_token') ?? parts.addsBos;
  return {
    tokenizer: {
      version: '1.0',
      added_tokens: tokens.flatMap((content, id) =>
        types[id] === TokenType.Control || types[id] === TokenType.UserDefined
          ? [addedToken(content, id, types[id] === TokenType.Control)]
          : [],
      ),
      ...parts.pipeline,
      post_processor: addsBos && bos !== undefined ? withBeginning(bos, tokens.indexOf(bos)) : null,
      model: {
        type: 'BPE',
        vocab: Object.fromEntries(tokens.map((content, id) => [content, id])),
        ...parts.model,
      },
    },
    config: {
      bos_token: bos,
      eos_token: token('eos'),
      chat_template: fields.text('tokenizer.chat_template'),
    },
  };
}

function partsOf(gguf: GgufFile, fields: GgufFields, model: string | undefined, tokens: readonly string[]) {
  if (model === undefined) throw fields.missing('tokenizer.ggml.model');
  if (model === 'gpt2') return byteLevel(gguf, fields);
  if (model === 'llama') return sentencePiece(fields, tokens);
  throw new CheckpointError(
    `${gguf.file}: tokenizer.ggml.model is ${JSON.stringify(model)}; supported are "gpt2" and "llama"`,
  );
}

/** Byte-level BPE: merges are in the file, how text is split first is known by a name. */
function byteLevel(gguf: GgufFile, fields: GgufFields) {
  const merges = fields.texts('tokenizer.ggml.merges');
  if (merges === undefined) throw fields.missing('tokenizer.ggml.merges');
  const name = fields.text('tokenizer.ggml.pre') ?? 'gpt-2';
  const pre = Object.hasOwn(PRE_TOKENIZERS, name) ? PRE_TOKENIZERS[name] : undefined;
  if (pre === undefined)
    throw new CheckpointError(
      `${gguf.file}: tokenizer.ggml.pre is ${JSON.stringify(name)}; supported are ${Object.keys(PRE_TOKENIZERS).join(', ')}`,
    );
  const bytes = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true };
  const splits = pre.patterns.map((pattern) => ({
    type: 'Split',
    pattern: { Regex: pattern },
    behavior: 'Isolated',
    invert: false,
  }));
  return {
    addsBos: pre.ignoresMerges,
    pipeline: {
      normalizer: pre.normalizes ? { type: 'NFC' } : null,
      pre_tokenizer: {
        type: 'Sequence',
        pretokenizers: [...splits, { ...bytes, use_regex: splits.length === 0 }],
      },
      decoder: { ...bytes, use_regex: true },
    },
    model: { merges, ignore_merges: pre.ignoresMerges },
  };
}

/** SentencePiece BPE: the merge with the best score comes first; what has no piece becomes bytes. */
function sentencePiece(fields: GgufFields, tokens: readonly string[]) {
  const scores = fields.numbers('tokenizer.ggml.scores');
  if (scores === undefined) throw fields.missing('tokenizer.ggml.scores');
  const types = fields.numbers('tokenizer.ggml.token_type') ?? [];
  const addsSpace = fields.boolean('tokenizer.ggml.add_space_prefix') ?? true;
  const toSpaces = { type: 'Replace', pattern: { String: SPACE }, content: ' ' };
  const fromSpaces = { type: 'Replace', pattern: { String: ' ' }, content: SPACE };
  const strip = { type: 'Strip', content: ' ', start: 1, stop: 0 };
  return {
    addsBos: true,
    pipeline: {
      normalizer: {
        type: 'Sequence',
        normalizers: addsSpace ? [{ type: 'Prepend', prepend: SPACE }, fromSpaces] : [fromSpaces],
      },
      pre_tokenizer: null,
      decoder: {
        type: 'Sequence',
        decoders: [toSpaces, { type: 'ByteFallback' }, { type: 'Fuse' }, ...(addsSpace ? [strip] : [])],
      },
    },
    model: {
      unk_token: tokens[fields.number('tokenizer.ggml.unknown_token_id') ?? 0],
      byte_fallback: types.includes(TokenType.Byte),
      merges: mergesOfScores(tokens, scores),
    },
  };
}

function addedToken(content: string, id: number, special: boolean) {
  return { id, content, special, single_word: false, lstrip: false, rstrip: false, normalized: false };
}

/** Puts the beginning-of-text token before a text. */
function withBeginning(token: string, id: number) {
  const special = { SpecialToken: { id: token, type_id: 0 } };
  const sequence = (name: string) => ({ Sequence: { id: name, type_id: 0 } });
  return {
    type: 'TemplateProcessing',
    single: [special, sequence('A')],
    pair: [special, sequence('A'), sequence('B')],
    special_tokens: { [token]: { id: token, ids: [id], tokens: [token] } },
  };
}
