/** Reads MessagePack, every form that may occur, apart from the writer under test. 64-bit numbers are bigints. */
export function readMessagePack(bytes: Uint8Array): unknown {
  const buffer = Buffer.from(bytes);
  let at = 0;
  const unsigned = (size: number): number => {
    at += size;
    return buffer.readUIntBE(at - size, size);
  };
  const slice = (length: number): Buffer => {
    at += length;
    return buffer.subarray(at - length, at);
  };
  const list = (length: number): unknown[] => Array.from({ length }, () => value());
  const map = (length: number) =>
    Object.fromEntries(Array.from({ length }, () => [String(value()), value()] as const));
  const value = (): unknown => {
    const tag = unsigned(1);
    if (tag < 0x80) return tag;
    if (tag < 0x90) return map(tag & 15);
    if (tag < 0xa0) return list(tag & 15);
    if (tag < 0xc0) return slice(tag & 31).toString();
    switch (tag) {
      case 0xc0:
        return null;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return slice(unsigned(1 << (tag - 0xc4)));
      case 0xcb:
        return slice(8).readDoubleBE();
      case 0xcc:
      case 0xcd:
      case 0xce:
        return unsigned(1 << (tag - 0xcc));
      case 0xcf:
        return slice(8).readBigUInt64BE();
      case 0xd9:
      case 0xda:
      case 0xdb:
        return slice(unsigned(1 << (tag - 0xd9))).toString();
      case 0xdc:
      case 0xdd:
        return list(unsigned(2 << (tag - 0xdc)));
      case 0xde:
      case 0xdf:
        return map(unsigned(2 << (tag - 0xde)));
      default:
        throw new Error(`unexpected MessagePack tag 0x${tag.toString(16)} at ${at - 1}`);
    }
  };
  const whole = value();
  if (at !== buffer.length) throw new Error(`${buffer.length - at} bytes are left`);
  return whole;
}
