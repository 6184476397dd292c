export interface PromptOptions {
  readonly random: () => number;
  readonly tenants: number;
  readonly sharedPrefixTokens: number;
  readonly promptTokens: number;
  /** Words to draw from; syllables put together without one. */
  readonly vocabulary?: readonly string[];
}

export interface Prompt {
  readonly tenant: number;
  readonly text: string;
}

/** Prompts of a random tenant each: the tenant's fixed prefix, then words of its own. */
export function createPrompts(options: PromptOptions): () => Prompt {
  const { random, tenants, sharedPrefixTokens, promptTokens, vocabulary } = options;
  const words = (count: number) =>
    Array.from({ length: count }, () =>
      vocabulary === undefined ? madeUp(random) : oneOf(vocabulary, random),
    ).join(' ');
  const prefixes = Array.from({ length: tenants }, () => words(sharedPrefixTokens));
  return () => {
    const tenant = Math.floor(random() * tenants);
    return { tenant, text: `${prefixes[tenant]} ${words(promptTokens)}` };
  };
}

const syllables = ['ba', 'ce', 'di', 'fo', 'gu', 'ha', 'ke', 'li', 'mo', 'nu', 'pa', 're', 'si', 'to', 'vu'];

/** A word of about four bytes, space included: about one token. */
function madeUp(random: () => number): string {
  const syllable = () => oneOf(syllables, random);
  return random() < 0.5 ? syllable() : syllable() + syllable();
}

function oneOf(items: readonly string[], random: () => number): string {
  return items[Math.floor(random() * items.length)]!;
}
