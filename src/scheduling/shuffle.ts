/** A shuffled copy (Fisher-Yates). `random` is uniform in [0, 1). */
export function shuffle<T>(items: readonly T[], random: () => number): T[] {
  const shuffled = [...items];
  for (let i = shuffled.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    const item = shuffled[i]!;
    shuffled[i] = shuffled[j]!;
    shuffled[j] = item;
  }
  return shuffled;
}
