/** Where a log goes. */
interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
}

export interface HeldLines extends Output {
  /** Writes what was held, and from then on everything at once. */
  release(): void;
}

/**
 * Keeps log lines until they are let go, so that they do not come between other lines where both outputs are one.
 * A process that ends before lets them go.
 */
export function holdLines(output: Output): HeldLines {
  let held: string[] | undefined = [];
  const release = () => {
    const lines = held ?? [];
    held = undefined;
    process.off('exit', release);
    for (const line of lines) output.write(line);
  };
  process.once('exit', release);
  return {
    ...(output.isTTY === undefined ? {} : { isTTY: output.isTTY }),
    write: (text) => (held === undefined ? output.write(text) : held.push(text)),
    release,
  };
}
