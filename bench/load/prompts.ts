export interface PromptOptions {
  readonly random: () => number;
  readonly tenants: number;
  readonly sharedPrefixTokens: number;
  readonly promptTokens: number;
}

export interface Prompt {
  readonly tenant: number;
  readonly text: string;
}

/** Prompts of a random tenant each: the tenant's fixed prefix, then words of its own. */
export function createPrompts(options: PromptOptions): () => Prompt {
  const { random, tenants, sharedPrefixTokens, promptTokens } = options;
  const prefixes = Array.from({ length: tenants }, () => words(random, sharedPrefixTokens));
  return () => {
    const tenant = Math.floor(random() * tenants);
    return { tenant, text: `${prefixes[tenant]} ${words(random, promptTokens)}` };
  };
}

const syllables = ['ba', 'ce', 'di', 'fo', 'gu', 'ha', 'ke', 'li', 'mo', 'nu', 'pa', 're', 'si', 'to', 'vu'];

/** Words of about four bytes, space included: about one token each. */
function words(random: () => number, tokens: number): string {
  const syllable = () => syllables[Math.floor(random() * syllables.length)]!;
  return Array.from({ length: tokens }, () => (random() < 0.5 ? syllable() : syllable() + syllable())).join(
    ' ',
  );
}
