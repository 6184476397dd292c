/** What is used of the global, which TypeScript declares for browsers only. */
declare namespace WebAssembly {
  class Module {
    constructor(bytes: Uint8Array);
  }
  class Instance {
    constructor(module: Module);
    readonly exports: unknown;
  }
  interface Memory {
    readonly buffer: ArrayBuffer;
    /** Takes the old `buffer` its memory. */
    grow(pages: number): number;
  }
  interface Global {
    readonly value: number;
  }
}
