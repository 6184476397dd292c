/** A shuffled copy (Fisher-Yates). `random` is uniform in [0, 1). */
export function shuffle<T>(items: readonly T[], random: () => number): T[] {
  const shuffled = [...items];
  shuffleInPlace(shuffled, random);
  return shuffled;
}

/** The same order, without a copy. */
export function shuffleInPlace<T>(
  items: { [index: number]: T; readonly length: number },
  random: () => number,
): void {
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    const item = items[i]!;
    items[i] = items[j]!;
    items[j] = item;
  }
}
