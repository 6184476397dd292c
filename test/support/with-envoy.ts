import { describe, it, type TestContext } from 'vitest';
import { envoyMissing, type InstalledEnvoy, installedEnvoys } from '../../bench/envoy/installed-envoys.ts';

const installed = installedEnvoys();

/** Tests that need an Envoy: `reason` tells, per version, why one cannot do what is asked. */
export type EnvoyTest = (
  name: string,
  run: (envoy: InstalledEnvoy) => Promise<void>,
  reason?: (envoy: InstalledEnvoy) => string | undefined,
) => void;

/** The same tests in front of each installed Envoy; skipped, with the reason, where there is none. */
export function describeWithEnvoy(
  name: string,
  body: (test: EnvoyTest, envoy: InstalledEnvoy | undefined) => void,
): void {
  const versions = installed.length > 0 ? installed : [undefined];
  for (const envoy of versions) {
    describe(`Envoy ${envoy?.version ?? 'missing'}: ${name}`, () => {
      body((title, run, reason) => {
        it(title, async (context: TestContext) => {
          if (envoy === undefined) return context.skip(envoyMissing);
          const why = reason?.(envoy);
          if (why !== undefined) return context.skip(why);
          await run(envoy);
        });
      }, envoy);
    });
  }
}
