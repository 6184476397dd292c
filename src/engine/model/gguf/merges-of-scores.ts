/**
 * The merges of a SentencePiece BPE from its pieces' scores, best first: every way to make a piece of two others
 * is one, and ranks as the piece does.
 */
export function mergesOfScores(
  pieces: readonly string[],
  scores: readonly number[],
): readonly (readonly [string, string])[] {
  const known = new Map(pieces.map((piece, id) => [piece, id]));
  const merges = pieces.flatMap((piece, id) => {
    const ways: { readonly pair: readonly [string, string]; readonly id: number; readonly order: number }[] =
      [];
    for (let cut = 1; cut < piece.length; cut++) {
      const left = known.get(piece.slice(0, cut));
      const right = known.get(piece.slice(cut));
      if (left === undefined || right === undefined) continue;
      ways.push({ pair: [piece.slice(0, cut), piece.slice(cut)], id, order: left });
    }
    return ways.sort((a, b) => a.order - b.order);
  });
  // Stable: ways of one piece keep their order.
  merges.sort((a, b) => (scores[b.id] ?? 0) - (scores[a.id] ?? 0));
  return merges.map(({ pair }) => pair);
}
