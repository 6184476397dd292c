import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readAdapter } from '../../src/engine/lora/index.ts';
import { readGguf } from '../../src/engine/model/gguf/gguf-file.ts';
import { ggufTokenizer } from '../../src/engine/model/gguf/gguf-tokenizer.ts';
import { readModelConfig } from '../../src/engine/model/model-files.ts';
import { createModelPlan } from '../../src/engine/model/model-plan.ts';
import type { NativeModel, NativeModule } from '../../src/engine/native/native.ts';
import { createTokenizer } from '../../src/tokenizer/index.ts';
import { type Dice, diceOf } from './dice.ts';
import { type Mutated, mutatedBytes, mutatedJson } from './file-mutation.ts';
import type { FuzzFailure, FuzzOptions } from './fuzz-http2.ts';
import { messageFaults } from './message-faults.ts';
import { oneToken } from './one-token.ts';

export const fileKinds = ['safetensors', 'config', 'gguf', 'tokenizer', 'adapter'] as const;
export type FileKind = (typeof fileKinds)[number];

export interface FuzzFilesOptions extends FuzzOptions {
  readonly kind: FileKind;
  readonly native: NativeModule;
  /** The repository's `test/fixtures/`. */
  readonly fixtures: string;
}

/** How a target takes files: mutates one, reads it, and goes on as far as an engine would. */
interface Target {
  mutate(dice: Dice): Mutated;
  use(mutated: Buffer): void;
}

/**
 * Gives mutated files to their readers, and what is read to native code. Every file must either work or be
 * refused with an Error that names the file and says something about it.
 */
export function fuzzFiles({ kind, seed, from, to, native, fixtures }: FuzzFilesOptions): {
  readonly outcomes: ReadonlyMap<string, number>;
  readonly failures: readonly FuzzFailure[];
} {
  const folder = mkdtempSync(join(tmpdir(), 'pointsman-fuzz-'));
  const outcomes = new Map<string, number>();
  const failures: FuzzFailure[] = [];
  const close: (() => void)[] = [() => rmSync(folder, { recursive: true })];
  try {
    const target = TARGETS[kind]({ folder, fixtures, native, close });
    for (let index = from; index < to; index++) {
      const { kinds, bytes } = target.mutate(diceOf(seed, `${kind} ${index}`));
      const refusal = refusalOf(() => target.use(bytes));
      const outcome = refusal === undefined ? 'read' : 'refused';
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      const faults = refusal === undefined ? [] : faultsOf(refusal, folder);
      if (faults.length > 0) failures.push({ seed, index, kinds, faults, chunks: [bytes.toString('hex')] });
    }
  } finally {
    for (const each of close) each();
  }
  return { outcomes, failures };
}

function refusalOf(use: () => void): unknown {
  try {
    use();
    return undefined;
  } catch (error) {
    return error ?? 'threw nothing';
  }
}

function faultsOf(refusal: unknown, folder: string): readonly string[] {
  if (!(refusal instanceof Error)) return [`threw ${String(refusal)}`];
  const { message } = refusal;
  const faults: string[] = [];
  if (!message.includes(folder)) faults.push(`names no file: ${message}`);
  return [...faults, ...messageFaults(message.replaceAll(folder, ''))];
}

interface Place {
  readonly folder: string;
  readonly fixtures: string;
  readonly native: NativeModule;
  /** Called when the cases are over. */
  readonly close: (() => void)[];
}

const PLAN = { blocks: 4, threads: 1, maxTokens: 16, maxSamples: 4, maxModelLen: 64 } as const;

const TARGETS: Readonly<Record<FileKind, (place: Place) => Target>> = {
  safetensors: (place) => modelFile(place, 'model.safetensors', frontOfSafetensors),
  config: (place) => {
    const { use } = modelFile(place, 'config.json', (bytes) => bytes.length);
    const config: unknown = JSON.parse(readFileSync(join(place.folder, 'config.json'), 'utf8'));
    return { mutate: (dice) => mutatedJson(config, dice), use };
  },
  gguf: ({ folder, fixtures, native }) => {
    const original = readFileSync(join(fixtures, 'gguf', 'qwen2-q4_0.gguf'));
    const withTokenizer = readFileSync(join(fixtures, 'gguf', 'llama-q8_0.gguf'));
    const file = join(folder, 'model.gguf');
    return {
      mutate: (dice) => {
        const bytes = dice.chance(0.5) ? original : withTokenizer;
        return mutatedBytes(bytes, dice, Math.min(bytes.length, 16_000));
      },
      use: (bytes) => {
        writeFileSync(file, bytes);
        openAndStep(native, file);
        const gguf = readGguf(file);
        if (gguf.metadata.has('tokenizer.ggml.model')) tryTokenizer(file, ggufTokenizer(gguf));
      },
    };
  },
  tokenizer: ({ folder, fixtures }) => {
    const { tokenizer, config } = ggufTokenizer(readGguf(join(fixtures, 'gguf', 'llama-q8_0.gguf')));
    const file = join(folder, 'tokenizer.json');
    return {
      mutate: (dice) => mutatedJson(tokenizer, dice),
      use: (bytes) => tryTokenizer(file, { tokenizer: parsed(file, bytes), config }),
    };
  },
  adapter: adapterFiles,
};

/** A model folder in which one file is replaced. */
function modelFile(
  { folder, fixtures, native }: Place,
  name: string,
  frontOf: (bytes: Buffer) => number,
): Target {
  cpSync(join(fixtures, 'parity', 'qwen3-moe'), folder, { recursive: true });
  const file = join(folder, name);
  const original = readFileSync(file);
  const front = frontOf(original);
  return {
    mutate: (dice) => mutatedBytes(original, dice, front),
    use: (bytes) => {
      writeFileSync(file, bytes);
      openAndStep(native, folder);
    },
  };
}

/** Both files of an adapter in turn, loaded into one model. */
function adapterFiles({ folder, fixtures, native, close }: Place): Target {
  cpSync(join(fixtures, 'lora', 'llama-all'), folder, { recursive: true });
  const base = join(fixtures, 'parity', 'llama');
  const configFile = join(folder, 'adapter_config.json');
  const weightsFile = join(folder, 'adapter_model.safetensors');
  const [configBytes, weights] = [readFileSync(configFile), readFileSync(weightsFile)];
  const config: unknown = JSON.parse(configBytes.toString());
  const model = native.open(createModelPlan(base, { ...PLAN, adapterSlots: 1, maxAdapterRank: 8 }));
  close.push(() => model.close());
  const modelConfig = readModelConfig(base);
  let isConfig = false;
  return {
    mutate: (dice) => {
      isConfig = dice.chance(0.4);
      return isConfig ? mutatedJson(config, dice) : mutatedBytes(weights, dice, frontOfSafetensors(weights));
    },
    use: (bytes) => {
      writeFileSync(configFile, isConfig ? bytes : configBytes);
      writeFileSync(weightsFile, isConfig ? weights : bytes);
      model.loadAdapter(0, readAdapter(folder, modelConfig, 8));
      step(model, 0);
    },
  };
}

function frontOfSafetensors(bytes: Buffer): number {
  return 8 + Number(bytes.readBigUInt64LE());
}

function openAndStep(native: NativeModule, model: string): void {
  const config = readModelConfig(model);
  // What a mutated number asks for may be valid and larger than this machine.
  if (config.vocabSize > 1e6 || config.layers > 100 || config.intermediateSize > 1e5) return;
  const opened = native.open(createModelPlan(model, PLAN, config));
  try {
    step(opened, -1);
  } finally {
    opened.close();
  }
}

function step(model: NativeModel, adapter: number): void {
  model.step(oneToken(adapter));
}

function parsed(file: string, bytes: Buffer): object {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString());
  } catch (cause) {
    throw new Error(`${file} could not be read as JSON`, { cause });
  }
  if (typeof value === 'object' && value !== null) return value;
  throw new Error(`${file} must hold a JSON object`);
}

function tryTokenizer(file: string, files: Parameters<typeof createTokenizer>[1]): void {
  const tokenizer = createTokenizer(file, files);
  for (const text of ['Hello, world 123', ' naïve 東京\n\n']) {
    const ids = tokenizer.encode(text, { addSpecialTokens: true });
    if (!ids.every(Number.isInteger)) throw new Error(`encodes to ${ids.join(' ')}`);
    tokenizer.decode(ids, { skipSpecialTokens: true });
    const stream = tokenizer.createDetokenizer({ skipSpecialTokens: false });
    for (const id of ids) stream.push(id);
  }
}
