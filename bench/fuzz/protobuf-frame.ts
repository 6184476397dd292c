import type { MethodDefinition } from '@grpc/grpc-js';
import type { WireRequest } from '../../src/ext-proc/codec.ts';
import { loadServiceDefinitions } from '../../src/ext-proc/service-definitions.ts';
import type { Dice } from './dice.ts';

/** `Process` as protobufjs encodes and decodes it. */
export const reference = loadServiceDefinitions().externalProcessor['Process'] as MethodDefinition<
  WireRequest,
  object
>;

/** A `ProcessingRequest` as a data plane may send it, encoded by protobufjs. */
export function randomFrame(dice: Dice): Buffer {
  const direction = dice.oneOf(['request', 'response']);
  const kind = dice.oneOf(['Headers', 'Body', 'Trailers']);
  const payload = {
    Headers: () => ({ headers: headerMap(dice), endOfStream: dice.chance(0.5) }),
    Body: () => ({ body: dice.bytes(dice.below(200)), endOfStream: dice.chance(0.5) }),
    Trailers: () => ({ trailers: headerMap(dice) }),
  }[kind]!();
  return requestBytes({
    [direction + kind]: payload,
    ...(dice.chance(0.3) ? { metadataContext: { filterMetadata: structs(dice) } } : {}),
    ...(dice.chance(0.2) ? { attributes: structs(dice) } : {}),
    ...(dice.chance(0.1) ? { observabilityMode: true } : {}),
    ...(dice.chance(0.3) ? { protocolConfig: protocolConfig(dice) } : {}),
  });
}

function requestBytes(request: object): Buffer {
  return reference.requestSerialize(request as WireRequest);
}

function headerMap(dice: Dice): object {
  const headers = Array.from({ length: dice.below(6) }, () => ({
    key: dice.oneOf([':path', 'Content-Type', 'x-a', 'x-a', '', word(dice)]),
    ...(dice.chance(0.5) ? { value: word(dice) } : {}),
    ...(dice.chance(0.5) ? { rawValue: dice.chance(0.2) ? dice.bytes(5) : Buffer.from(word(dice)) } : {}),
  }));
  return { headers };
}

function protocolConfig(dice: Dice): object {
  return {
    requestBodyMode: dice.below(8),
    responseBodyMode: dice.below(8),
    sendBodyWithoutWaitingForHeaderResponse: dice.chance(0.5),
  };
}

function structs(dice: Dice): object {
  return Object.fromEntries(Array.from({ length: dice.below(3) }, () => [word(dice), struct(dice, 0)]));
}

function struct(dice: Dice, depth: number): object {
  const entries = Array.from({ length: dice.below(4) }, () => [word(dice), value(dice, depth + 1)]);
  return { fields: Object.fromEntries(entries) };
}

function value(dice: Dice, depth: number): object {
  return dice.oneOf([
    () => ({ stringValue: word(dice) }),
    () => ({ numberValue: dice.below(1e9) / 7 }),
    () => ({ boolValue: dice.chance(0.5) }),
    () => ({ nullValue: 0 }),
    () => (depth > 4 ? {} : { structValue: struct(dice, depth) }),
    () => (depth > 4 ? {} : { listValue: { values: [value(dice, depth + 1), value(dice, depth + 1)] } }),
  ])();
}

function word(dice: Dice): string {
  return dice.oneOf(['', 'a', 'envoy.lb', 'höhe', '漢字', '😀', 'x'.repeat(130), String(dice.below(1e6))]);
}
