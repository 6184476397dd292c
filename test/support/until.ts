/** Waits until a claim holds, looking every few milliseconds; throws when it takes too long. */
export async function until(claim: () => boolean | Promise<boolean>, limitMs = 3000): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!(await claim())) {
    if (performance.now() > deadline) throw new Error(`not true within ${limitMs} ms: ${claim}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
