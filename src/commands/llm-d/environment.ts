/** Variables that llm-d's charts and KServe set for its picker, and that nothing here reads. */
const withoutEffect: readonly { readonly name: RegExp; readonly reason: string }[] = [
  { name: /^OTEL_/, reason: 'no traces are written' },
  { name: /^((PREDICTION|TRAINING)_SERVER_URL|LATENCY_[A-Z_]+)$/, reason: 'there is no latency predictor' },
  {
    name: /^SSL_CERT_(DIR|FILE)$/,
    reason: 'NODE_EXTRA_CA_CERTS names a file of authorities for engines that are scraped by https',
  },
];

/** One line for each kind of variable that is set in vain. */
export function environmentWarnings(environment: Readonly<NodeJS.ProcessEnv>): string[] {
  return withoutEffect.flatMap(({ name, reason }) => {
    const found = Object.keys(environment).filter((variable) => name.test(variable));
    if (found.length === 0) return [];
    return [`${found.sort().join(', ')}: no effect: ${reason}`];
  });
}
