/**
 * Checks that a parsed `tokenizer.json` has the shape that Hugging Face's tokenizers writes, before the library,
 * which trusts it, sees it. Throws an Error with the field, what was expected and what was found.
 */
export function checkDefinition(definition: object): void {
  const { model, added_tokens = [] } = definition as Fields;
  checkModel(fieldsOf(model, 'model'));
  for (const [i, token] of listOf(added_tokens, 'added_tokens').entries()) {
    const { id, content } = fieldsOf(token, `added_tokens[${i}]`);
    if (!isTokenId(id)) throw wrong(`added_tokens[${i}].id`, tokenId, id);
    if (typeof content !== 'string') throw wrong(`added_tokens[${i}].content`, 'text', content);
  }
  for (const name of ['normalizer', 'pre_tokenizer', 'post_processor', 'decoder'])
    checkStage((definition as Fields)[name], name);
}

type Fields = Readonly<Record<string, unknown>>;

/** More than any vocabulary; tables are made for as many. */
const mostTokens = 2 ** 24;
const tokenId = `a token id below ${mostTokens}`;
/** Lists of stages inside a `Sequence`. */
const inner = ['normalizers', 'pretokenizers', 'processors', 'decoders'];
const deepest = 16;

function checkModel({ type, vocab, merges }: Fields): void {
  if (typeof type !== 'string') throw wrong('model.type', 'text', type);
  if (type === 'Unigram') {
    for (const [id, entry] of listOf(vocab, 'model.vocab').entries())
      if (!Array.isArray(entry) || typeof entry[0] !== 'string' || typeof entry[1] !== 'number')
        throw wrong(`model.vocab[${id}]`, 'a piece and its score', entry);
    return;
  }
  const ids = fieldsOf(vocab, 'model.vocab');
  for (const token in ids)
    if (!isTokenId(ids[token])) throw wrong(`model.vocab[${shown(token)}]`, tokenId, ids[token]);
  if (type !== 'BPE') return;
  const pairs = listOf(merges, 'model.merges');
  for (let i = 0; i < pairs.length; i++)
    if (!isPair(pairs[i])) throw wrong(`model.merges[${i}]`, 'two tokens', pairs[i]);
}

/** Two texts, or one with one space between them. There are hundreds of thousands: nothing is made of them here. */
function isPair(merge: unknown): boolean {
  if (typeof merge === 'string') {
    const space = merge.indexOf(' ');
    return space >= 0 && !merge.includes(' ', space + 1);
  }
  return (
    Array.isArray(merge) && merge.length === 2 && typeof merge[0] === 'string' && typeof merge[1] === 'string'
  );
}

/** A normalizer, pre-tokenizer, post-processor or decoder; a sequence holds more of them. */
function checkStage(stage: unknown, where: string, depth = 0): void {
  if (stage === undefined || stage === null) return;
  if (depth > deepest) throw wrong(where, `at most ${deepest} levels deep`, stage);
  const fields = fieldsOf(stage, where);
  if (typeof fields['type'] !== 'string') throw wrong(`${where}.type`, 'text', fields['type']);
  if (fields['pattern'] !== undefined) checkPattern(fieldsOf(fields['pattern'], `${where}.pattern`), where);
  if (fields['content'] !== undefined && typeof fields['content'] !== 'string')
    throw wrong(`${where}.content`, 'text', fields['content']);
  if (fields['type'] === 'TemplateProcessing') checkTemplate(fields, where);
  for (const name of inner)
    if (fields[name] !== undefined)
      for (const [i, each] of listOf(fields[name], `${where}.${name}`).entries()) {
        if (each === null) throw wrong(`${where}.${name}[${i}]`, 'an object', each);
        checkStage(each, `${where}.${name}[${i}]`, depth + 1);
      }
}

function checkPattern({ Regex, String: text }: Fields, where: string): void {
  if (typeof (Regex ?? text) !== 'string')
    throw wrong(`${where}.pattern`, 'a Regex or a String', Regex ?? text);
}

function checkTemplate(fields: Fields, where: string): void {
  const tokens = fieldsOf(fields['special_tokens'] ?? {}, `${where}.special_tokens`);
  for (const [name, token] of Object.entries(tokens)) {
    const { ids } = fieldsOf(token, `${where}.special_tokens[${shown(name)}]`);
    for (const id of listOf(ids, `${where}.special_tokens[${shown(name)}].ids`))
      if (!isTokenId(id)) throw wrong(`${where}.special_tokens[${shown(name)}].ids`, tokenId, id);
  }
  for (const side of ['single', 'pair'])
    for (const [i, part] of listOf(fields[side], `${where}.${side}`).entries()) {
      const { SpecialToken, Sequence } = fieldsOf(part, `${where}.${side}[${i}]`);
      const { id } = fieldsOf(SpecialToken ?? Sequence, `${where}.${side}[${i}]`);
      if (typeof id !== 'string' || (SpecialToken !== undefined && !(id in tokens)))
        throw wrong(`${where}.${side}[${i}].id`, 'the name of a sequence or special token', id);
    }
}

function fieldsOf(value: unknown, where: string): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields;
  throw wrong(where, 'an object', value);
}

function listOf(value: unknown, where: string): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw wrong(where, 'a list', value);
}

function isTokenId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < mostTokens;
}

function wrong(where: string, expected: string, found: unknown): Error {
  return new Error(`${where} should be ${expected}, found ${found === undefined ? 'nothing' : shown(found)}`);
}

function shown(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
