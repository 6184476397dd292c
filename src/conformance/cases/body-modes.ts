import type { ConformanceCase } from '../conformance-case.ts';
import { type Dialect, dialects } from '../dialects.ts';
import { require } from '../outcome.ts';
import type { Session } from '../session.ts';
import { type BodyMode, bodyModes } from '../wire/processing-request.ts';
import { requireBody, requireGoodEnd } from './requirements.ts';

const modes = Object.keys(bodyModes) as readonly BodyMode[];

/** Request and response have modes of their own: each pair, also those that no gateway sets up today. */
export const bodyModeCases: readonly ConformanceCase[] = modes.flatMap((request) =>
  modes.map(
    (response): ConformanceCase => ({
      id: `modes-${short(request)}-${short(response)}`,
      clause: '4.1',
      title: `4.1: request body mode ${request}, response body mode ${response}: each answered in its own way`,
      // GRPC is newer than all other modes, and no gateway sends it to a picker yet.
      level: request === 'GRPC' || response === 'GRPC' ? 'INFO' : 'MUST',
      dialects: [mixed(request, response)],
      run: goesThrough,
    }),
  ),
);

async function goesThrough(session: Session, dialect: Dialect): Promise<string> {
  const request = session.chat();
  const exchange = await session.picked(dialect, request);
  const response = session.events(false);
  await exchange.response(response);
  requireGoodEnd(await exchange.finish());
  const [offence] = exchange.violations;
  require(offence === undefined, 'replies in the form of each mode', offence?.found ?? '');
  if (dialect.requestBody !== 'none') requireBody(exchange, request);
  const sent = Buffer.concat(response.chunks);
  const found = exchange.body('response');
  const isSeen = dialect.modes?.response !== 'NONE';
  require(!isSeen || found.equals(sent), `a response of ${sent.length} bytes`, `${found.length} bytes`);
  return exchange.describe();
}

function mixed(request: BodyMode, response: BodyMode): Dialect {
  const isDuplex = request === 'FULL_DUPLEX_STREAMED' || request === 'GRPC';
  return {
    ...dialects.duplex,
    name: `envoy ${request}/${response}`,
    modes: { request, response },
    requestBody: isDuplex ? 'duplex' : request === 'NONE' ? 'none' : 'turns',
    appliesHeadersOfBodyReply: request === 'BUFFERED' || request === 'BUFFERED_PARTIAL',
    isUncommon: true,
  };
}

function short(mode: BodyMode): string {
  return mode.toLowerCase().replaceAll('_', '-');
}
