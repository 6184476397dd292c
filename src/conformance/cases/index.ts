import type { ConformanceCase } from '../conformance-case.ts';
import { bodyCases } from './bodies.ts';
import { bodyModeCases } from './body-modes.ts';
import { controlHeaderCases } from './control-headers.ts';
import { protocolCases } from './endpoint-picker-protocol.ts';
import { endpointCases, lostEndpointsCase } from './endpoints.ts';
import { closingCases, resetFlood } from './fault-closing.ts';
import { framingCases } from './fault-framing.ts';
import { junkCases } from './fault-junk.ts';
import { healthCases } from './health.ts';
import { modelRewriteCases } from './model-rewrite.ts';
import { observabilityCases } from './observability.ts';
import { orderCases } from './order-of-messages.ts';
import { repeatedHeaderCases } from './repeated-headers.ts';
import { replyCases } from './replies.ts';
import { responseCases } from './responses.ts';
import { sheddingCases } from './shedding.ts';
import { slowReaderCases } from './slow-reader.ts';
import { subsetCases } from './subset.ts';
import { tlsCases } from './tls.ts';
import { trailerCases } from './trailers.ts';

/** In the order in which they run: from what any data plane needs to what only a broken one does. */
export const allCases: readonly ConformanceCase[] = [
  ...protocolCases,
  ...subsetCases,
  ...healthCases,
  ...tlsCases,
  ...orderCases,
  ...trailerCases,
  ...bodyModeCases,
  ...observabilityCases,
  ...replyCases,
  ...controlHeaderCases,
  ...repeatedHeaderCases,
  ...bodyCases,
  ...responseCases,
  ...modelRewriteCases,
  ...slowReaderCases,
  ...endpointCases,
  ...framingCases,
  ...closingCases,
  resetFlood,
  ...junkCases,
  ...sheddingCases,
  lostEndpointsCase,
];
