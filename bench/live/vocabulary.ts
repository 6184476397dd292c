/** Words that the bundled model's tokenizer knows: its tokens are then as long as those of large vocabularies. */
export const vocabulary: readonly string[] =
  `the engine sends every request to a gateway that holds the cache of a prompt and its prefix so the first token comes
soon while the other engines wait for memory in a queue with more tokens than they can compute in one step because the
model is large and the batch of sequences grows until the blocks run out and the scheduler puts the youngest back`.split(
    /\s+/,
  );
