/**
 * The two loops over all bytes of a prompt, as WebAssembly with SIMD: the scan of JSON and the hashes of blocks.
 *
 * Owns the module's memory. `assembly/` is AssemblyScript, compiled by the build. What the loops mean is written in
 * JavaScript where they are used, which is also what runs where the module does not. Imports nothing of ours.
 */
export { loadSimdCode, type SimdLoad, simdCode, simdFault } from './load.ts';
export type { HashChain, SimdCode, SimdScan } from './simd-code.ts';
