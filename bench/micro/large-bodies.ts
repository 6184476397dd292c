/** Bodies of about one megabyte, each hard in its own way for a scanner. */

const megabyte = 1 << 20;

/** One long string with a line break now and then. */
export function oneLongString(): Buffer {
  const line = 'The engine that holds the beginning of this prompt answers soonest.\n';
  const content = line.repeat(Math.ceil(megabyte / line.length));
  return Buffer.from(JSON.stringify({ model: 'm', stream: true, messages: [{ role: 'user', content }] }));
}

export function manySmallMessages(count = 20_000): Buffer {
  const messages = Array.from({ length: count }, (_, i) => ({ role: 'user', content: `message ${i} ok` }));
  return Buffer.from(JSON.stringify({ model: 'm', stream: true, messages }));
}

/** Tools, tool calls with JSON inside strings, content parts, numbers, nesting and other alphabets. */
export function deeplyMixed(): Buffer {
  const part = {
    role: 'assistant',
    content: [
      { type: 'text', text: 'Naïve “quotes”, emoji 🙂 and\ttabs.' },
      { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgoAAAANSUhEUg', detail: null } },
    ],
    tool_calls: [
      { id: 'call_1', type: 'function', function: { name: 'look', arguments: '{"a":[1,2,{"b":"c\\n"}]}' } },
    ],
    scores: [0.25, -1e-7, 12345678901234567890n.toString(), true, false, null, [[[[{ deep: [] }]]]]],
  };
  const count = Math.ceil(megabyte / Buffer.byteLength(JSON.stringify(part)));
  return Buffer.from(
    JSON.stringify({ model: 'm', messages: Array.from({ length: count }, () => part), temperature: 0.7 }),
  );
}
