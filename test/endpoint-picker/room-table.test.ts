import { describe, expect, it } from 'vitest';
import { EngineKeeper } from '../../src/endpoint-picker/engine-keeper.ts';
import { RoomRound } from '../../src/endpoint-picker/room-round.ts';
import { defaultRoomRule } from '../../src/endpoint-picker/room-rule.ts';
import { hasGained, isOpenIn, RoomTable } from '../../src/endpoint-picker/room-table.ts';
import { EndpointList } from '../../src/scheduling/endpoint-list.ts';
import { type EndpointParts, makeEndpoint, makeEndpoints } from '../scheduling/support.ts';

const busy = { inFlight: { requests: 3 }, learned: { pendingPrefillMs: 5000 } };
/** Room for all, but not for tenants over their share. */
const nearlyBusy = { inFlight: { requests: 3 }, learned: { pendingPrefillMs: 200 } };

/** All are busy but for the one in this slot, if it is named. */
function fleet(slot?: number, parts: EndpointParts = {}): EndpointList {
  const endpoints = makeEndpoints(70, () => busy);
  return EndpointList.of(
    endpoints.map((each) => (each.slot === slot ? makeEndpoint({ ...parts, slot }) : each)),
  );
}

describe('which endpoints have room', () => {
  it.each([0, 31, 32, 63, 64, 69])('is known of the one in slot %i', (slot) => {
    const table = new RoomTable(defaultRoomRule);
    const before = table.of(fleet());
    const after = table.of(fleet(slot));
    expect([before.count, after.count]).toEqual([0, 1]);
    expect(makeEndpoints(70).filter((each) => isOpenIn(after, each.slot))).toMatchObject([{ slot }]);
    expect([hasGained(after, before), hasGained(before, after)]).toEqual([true, false]);
  });

  it('is gained when there comes to be room for tenants over their share', () => {
    const table = new RoomTable(defaultRoomRule);
    const before = table.of(fleet(40, nearlyBusy));
    const after = table.of(fleet(40));
    expect(before.count).toBe(after.count);
    expect(hasGained(after, before)).toBe(true);
  });

  it('is told by the same object while nobody gains or loses it', () => {
    const table = new RoomTable(defaultRoomRule);
    const before = table.of(fleet());
    const after = table.of(fleet(3, { ...busy, inFlight: { requests: 4 } }));
    expect(after).toBe(before);
  });

  it('follows an endpoint to its slot when others go', () => {
    const table = new RoomTable(defaultRoomRule);
    const endpoints = makeEndpoints(70, (slot) => (slot === 69 ? {} : busy));
    table.of(EndpointList.of(endpoints));
    const rooms = table.of(EndpointList.of(endpoints.slice(1)));
    expect(rooms.count).toBe(1);
    expect(isOpenIn(rooms, 69)).toBe(true);
  });
});

describe('the endpoints that our requests fill', () => {
  const ownOf = (...parts: readonly EndpointParts[]) => {
    const endpoints = EndpointList.of(parts.map((each, slot) => makeEndpoint({ ...each, slot })));
    const keeper = new EngineKeeper({ pool: { find: (endpoint) => endpoints.at(endpoint.slot) } });
    return new RoomRound(endpoints, new RoomTable(defaultRoomRule), keeper).ownEndpoints;
  };

  it.each([
    { what: 'all of one where nobody else is', metrics: { runningRequests: 4 }, requests: 4, own: 1 },
    { what: 'all of one that has told nothing yet', metrics: {}, requests: 4, own: 1 },
    { what: 'all of an idle one', metrics: {}, requests: 0, own: 1 },
    {
      what: 'half of one where as many others are',
      metrics: { runningRequests: 6, queuedRequests: 2 },
      requests: 4,
      own: 0.5,
    },
    { what: 'nothing of one that only others use', metrics: { runningRequests: 8 }, requests: 0, own: 0 },
  ])('are $what', ({ metrics, requests, own }) => {
    expect(ownOf({ metrics, inFlight: { requests } })).toBe(own);
    expect(ownOf({ metrics, inFlight: { requests } }, {})).toBe(own + 1);
    expect(ownOf({ metrics, inFlight: { requests }, isReady: false })).toBe(0);
  });

  it('count what was sent since the gauges were read', () => {
    expect(ownOf({ metrics: { runningRequests: 6 }, inFlight: { requests: 4, sentSinceScrape: 2 } })).toBe(
      0.5,
    );
  });
});
