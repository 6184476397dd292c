/** The keys that an environment variable holds, separated by commas; none if it is not set or holds only commas. */
export function apiKeysIn(variable: string): readonly string[] {
  const keys = (process.env[variable] ?? '').split(',').map((key) => key.trim());
  return keys.filter((key) => key !== '');
}
