import type { ConformanceCase } from '../conformance-case.ts';
import { bodyCases } from './bodies.ts';
import { protocolCases } from './endpoint-picker-protocol.ts';
import { endpointCases, lostEndpointsCase } from './endpoints.ts';
import { closingCases, resetFlood } from './fault-closing.ts';
import { framingCases } from './fault-framing.ts';
import { junkCases } from './fault-junk.ts';
import { healthCases } from './health.ts';
import { orderCases } from './order-of-messages.ts';
import { replyCases } from './replies.ts';
import { subsetCases } from './subset.ts';

/** In the order in which they run: from what any data plane needs to what only a broken one does. */
export const allCases: readonly ConformanceCase[] = [
  ...protocolCases,
  ...subsetCases,
  ...healthCases,
  ...orderCases,
  ...replyCases,
  ...bodyCases,
  ...endpointCases,
  ...framingCases,
  ...closingCases,
  resetFlood,
  ...junkCases,
  lostEndpointsCase,
];
