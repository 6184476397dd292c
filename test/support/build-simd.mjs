import { buildSimd } from '../../src/simd/build.mjs';

/** Tests run from the sources, but SIMD code is only what a build leaves: compiles it where it is not up to date. */
export default async function setup() {
  await buildSimd();
}
