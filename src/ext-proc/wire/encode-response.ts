import type { DynamicMetadata, HeaderMutation, ProcessingResponse } from '../messages.ts';
import type { ProtoWriter } from './proto-writer.ts';

/** `OVERWRITE_IF_EXISTS_OR_ADD`: Envoy overwrites anyway; agentgateway heeds the action. */
const overwrite = 2;

/** Writes a `ProcessingResponse` of `envoy.service.ext_proc.v3`; field numbers are those of `proto/`. */
export function encodeResponse(writer: ProtoWriter, response: ProcessingResponse): void {
  writer.reset();
  if ('metadata' in response && response.metadata !== undefined) writeMetadata(writer, response.metadata);
  const mark = writer.mark();
  switch (response.kind) {
    case 'headers': {
      const common = writer.mark();
      if (response.mutation !== undefined) writeMutation(writer, 2, response.mutation);
      writer.close(1, common);
      writer.close(response.direction === 'request' ? 1 : 2, mark);
      return;
    }
    case 'body': {
      const common = writer.mark();
      if (response.streamed !== undefined) writeStreamed(writer, response.streamed);
      else if (response.replaced !== undefined) writeReplaced(writer, response.replaced);
      if (response.mutation !== undefined) writeMutation(writer, 2, response.mutation);
      writer.close(1, common);
      writer.close(response.direction === 'request' ? 3 : 4, mark);
      return;
    }
    case 'trailers':
      if (response.mutation !== undefined) writeMutation(writer, 1, response.mutation);
      writer.close(response.direction === 'request' ? 5 : 6, mark);
      return;
    case 'immediate': {
      writer.textField(5, response.details);
      writer.bytesField(3, response.body);
      writeMutation(writer, 2, response.headers);
      const status = writer.mark();
      writer.varintField(1, response.status);
      writer.close(1, status);
      writer.close(7, mark);
      return;
    }
  }
}

/** `CommonResponse.body_mutation.streamed_response`. */
function writeStreamed(
  writer: ProtoWriter,
  { body, endOfStream }: { readonly body: Uint8Array; readonly endOfStream: boolean },
): void {
  const mutation = writer.mark();
  const streamed = writer.mark();
  if (endOfStream) writer.varintField(2, 1);
  if (body.length > 0) writer.bytesField(1, body);
  writer.close(3, streamed);
  writer.close(3, mutation);
}

/** `CommonResponse.body_mutation`, as `body` or `clear_body`. */
function writeReplaced(writer: ProtoWriter, body: Uint8Array): void {
  const mutation = writer.mark();
  if (body.length === 0) writer.varintField(2, 1);
  else writer.bytesField(1, body);
  writer.close(3, mutation);
}

/** Only `raw_value`: Envoy takes a mutation that carries `value` alone as an empty header, and refuses both. */
function writeMutation(writer: ProtoWriter, fieldNumber: number, { set, remove }: HeaderMutation): void {
  const mark = writer.mark();
  for (let i = remove.length - 1; i >= 0; i--) writer.textField(2, remove[i]!);
  for (let i = set.length - 1; i >= 0; i--) {
    const [key, value] = set[i]!;
    const option = writer.mark();
    writer.varintField(3, overwrite);
    const header = writer.mark();
    writer.textField(3, value);
    writer.textField(1, key);
    writer.close(1, header);
    writer.close(1, option);
  }
  writer.close(fieldNumber, mark);
}

/** `dynamic_metadata`: a Struct of Structs. */
function writeMetadata(writer: ProtoWriter, metadata: DynamicMetadata): void {
  const mark = writer.mark();
  for (const namespace in metadata) {
    const values = metadata[namespace]!;
    const entry = writer.mark();
    for (const key in values) {
      const inner = writer.mark();
      writeValue(writer, values[key]!);
      closeEntry(writer, key, inner);
    }
    writer.close(5, entry);
    closeEntry(writer, namespace, entry);
  }
  writer.close(8, mark);
}

/** `string_value`, or a `struct_value` of numbers. */
function writeValue(writer: ProtoWriter, value: string | ReadonlyMap<string, number>): void {
  if (typeof value === 'string') {
    writer.textField(3, value);
    return;
  }
  const struct = writer.mark();
  for (const [name, number] of value) {
    const entry = writer.mark();
    writer.doubleField(2, number);
    closeEntry(writer, name, entry);
  }
  writer.close(5, struct);
}

/** Makes an entry of `Struct.fields` of the value that has been written since `mark`. */
function closeEntry(writer: ProtoWriter, key: string, mark: number): void {
  writer.close(2, mark);
  writer.textField(1, key);
  writer.close(1, mark);
}
