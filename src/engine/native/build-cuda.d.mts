/** See build-cuda.mjs. */
export function buildCuda(options?: {
  readonly log?: (line: string) => void;
  readonly emulated?: boolean;
  readonly sanitize?: boolean;
  readonly jobs?: number;
}): Promise<string>;

/** nvcc's name and version; undefined where there is none. */
export function findNvcc(): { readonly name: string; readonly version: string } | undefined;
