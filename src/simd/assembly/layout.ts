/**
 * Where things lie in the module's memory. Addresses are bytes; what is read elsewhere is exported.
 *
 *     0        256       2048      16384       24576        32768
 *     │ result │ openers │ members │ low lanes │ high lanes │ body, then zeros
 */

/** [3] i32: of the last scan `start`, `end`, `longestString`; of the last hash the chain's two lanes. */
export const resultAt: usize = 0;

/** The byte that opened the container at each depth. */
export const openersAt: usize = 256;
export const mostDepth: i32 = 1024;

/** [members, 4] i32: key start and end, value start and end, from the start of the body. */
export const membersAt: usize = 2048;
export const mostMembers: i32 = 512;

/** [blocks] u32 each. */
export const lowAt: usize = 16384;
export const highAt: usize = 24576;
export const mostBlocks: i32 = 2048;

export const bodyAt: usize = 32768;

/** Bytes that may be read behind a body. */
export const paddingBytes: i32 = 64;

/** Bytes of body that the memory has room for. */
export function room(): i32 {
  return (memory.size() << 16) - <i32>bodyAt - paddingBytes;
}
