import { FlowControl, type FlowControlLimits } from '../flow-control/index.ts';
import type { InferencePool } from '../pool/inference-pool.ts';
import { EngineKeeper } from './engine-keeper.ts';
import { RoomRound } from './room-round.ts';
import { isRoomAt, type RoomRule, roomEverywhere } from './room-rule.ts';
import { RoomTable } from './room-table.ts';

export interface FlowControlSettings {
  readonly limits: () => FlowControlLimits;
  /** Undefined: no request waits from now on, and those that do are sent. */
  readonly room: () => RoomRule | undefined;
  /** Calls back once after that time, unless the function returned is called before. */
  readonly schedule: (delayMs: number, callback: () => void) => () => void;
}

/** Flow control over the endpoints of a pool: it looks again wherever one of them has room. */
export function startLateBinding(
  { limits, room, schedule }: FlowControlSettings,
  { pool, clock }: { readonly pool: InferencePool; readonly clock: () => number },
): FlowControl<RoomRound> {
  const rule = () => room() ?? roomEverywhere;
  const keeper = new EngineKeeper({ pool });
  let rooms = new RoomTable(rule());
  const beginRound = () => {
    if (rooms.rule !== rule()) rooms = new RoomTable(rule());
    return new RoomRound(pool.list(clock()), rooms, keeper);
  };
  const started = new FlowControl<RoomRound>({ limits, clock, schedule, beginRound });
  pool.subscribe({
    roomChanged: (endpoint) => {
      if (started.waitingRequests === 0) return;
      const now = pool.find(endpoint);
      if (now?.isReady !== true) started.endpointLost();
      else if (isRoomAt(now, rule())) started.roomChanged();
    },
    removed: () => started.endpointLost(),
  });
  return started;
}
