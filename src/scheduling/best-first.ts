/** More fallbacks than this are never tried in their order: a request that met eight dead engines gives up. */
const orderedPlaces = 8;

/**
 * Moves the items with the highest keys to the front, in place: the first eight in order, the others as they
 * come. Of equal keys the one that stands first wins, so shuffle before. Linear, unlike sorting a hundred.
 */
export function bestFirst<T>(items: T[], keyOf: (item: T) => number): T[] {
  for (let place = 0; place < Math.min(orderedPlaces, items.length - 1); place++) {
    let best = place;
    let bestKey = keyOf(items[place]!);
    for (let i = place + 1; i < items.length; i++) {
      const key = keyOf(items[i]!);
      if (key <= bestKey) continue;
      best = i;
      bestKey = key;
    }
    const item = items[place]!;
    items[place] = items[best]!;
    items[best] = item;
  }
  return items;
}
