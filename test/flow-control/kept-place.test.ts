import { describe, expect, it } from 'vitest';
import { KeptPlace, type Place } from '../../src/flow-control/kept-place.ts';
import { createWaiting, type Waiting } from '../../src/flow-control/waiting.ts';

function waitingSince(arrivedAtMs: number, priority = 0, timeToLiveMs = 60_000): Waiting<string> {
  const waiting = createWaiting({ priority, tenant: '', bytes: 1 }, `since ${arrivedAtMs}`, arrivedAtMs);
  waiting.deadline.key = arrivedAtMs + timeToLiveMs;
  return waiting;
}

function createPlace(waitMs = 1000) {
  const state = { isLost: false, isFree: false };
  const free = () => {
    state.isFree = true;
  };
  const place: Place = { waitMs, isLost: () => state.isLost, free };
  return { state, place };
}

const shortage = (neededTokens: number) => ({
  neededTokens,
  capacityTokens: 1000,
  keepPlace: () => undefined,
});

describe('the place that is kept', () => {
  it('goes to a request that others have passed by the memory of all endpoints, or more if it needs less', () => {
    const kept = new KeptPlace<string>();
    const [whole, half] = [waitingSince(0), waitingSince(0)];
    const isDue = () => [kept.isDue(whole, shortage(1000), 3, 0), kept.isDue(half, shortage(500), 3, 0)];
    expect(isDue()).toEqual([false, false]);
    kept.gave(2999);
    expect(isDue()).toEqual([false, false]);
    kept.gave(1);
    expect(isDue()).toEqual([true, false]);
    kept.gave(9000);
    expect(isDue()).toEqual([true, true]);
  });

  it('goes to a request that needs much when a part of its time is up', () => {
    const kept = new KeptPlace<string>();
    const dueAt = (neededTokens: number, nowMs: number) =>
      kept.isDue(waitingSince(0), shortage(neededTokens), 3, nowMs);
    expect([dueAt(1000, 14_999), dueAt(1000, 15_000)]).toEqual([false, true]);
    expect([dueAt(500, 29_999), dueAt(500, 30_000)]).toEqual([false, true]);
    expect(dueAt(499, 59_999)).toBe(false);
  });

  it('is one: the next gets it when it is free, a higher priority at once', () => {
    const kept = new KeptPlace<string>();
    const { state, place } = createPlace();
    kept.keep(waitingSince(0), place, [], 0);
    kept.gave(3000);
    expect(kept.isDue(waitingSince(0), shortage(1000), 3, 30_000)).toBe(false);
    const urgent = waitingSince(0, 1);
    expect(kept.isDue(urgent, shortage(1000), 3, 30_000)).toBe(true);
    kept.keep(urgent, createPlace().place, [], 30_000);
    expect([state.isFree, kept.holderAt(30_000)]).toEqual([true, urgent]);
  });

  it('is open to those who came before, until they have gone', () => {
    const kept = new KeptPlace<string>();
    const [older, holder, newer] = [waitingSince(0), waitingSince(1), waitingSince(2)];
    kept.keep(holder, createPlace().place, [older, holder, newer], 3);
    expect([kept.isOpenToSome(0), kept.left(older), kept.left(newer)]).toEqual([true, false, false]);
    expect([kept.isOpenToSome(0), kept.isOpenToSome(1)]).toEqual([false, true]);
    expect(kept.left(holder)).toBe(true);
    expect(kept.isOpenToSome(0)).toBe(true);
  });

  it('is free when its endpoint is lost, and its request has to be passed anew', () => {
    const kept = new KeptPlace<string>();
    const { state, place } = createPlace();
    const holder = waitingSince(0);
    kept.isDue(holder, shortage(1000), 3, 0);
    kept.gave(3000);
    kept.keep(holder, place, [], 0);
    expect(kept.holderAt(1)).toBe(holder);
    state.isLost = true;
    expect([kept.holderAt(1), state.isFree]).toEqual([undefined, true]);
    expect(kept.isDue(holder, shortage(1000), 3, 0)).toBe(false);
  });

  it('is free after ten seconds and four times the wait foreseen', () => {
    const kept = new KeptPlace<string>();
    const holder = waitingSince(0);
    kept.keep(holder, createPlace(2000).place, [], 1000);
    expect([kept.holderAt(18_999), kept.holderAt(19_000)]).toEqual([holder, undefined]);
  });
});
