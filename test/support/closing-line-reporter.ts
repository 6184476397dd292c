import type { Reporter, TestModule } from 'vitest/node';

/** Prints why each skipped test was skipped, and the closing line that people and CI read. */
export default class ClosingLineReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    let passed = 0;
    let failed = 0;
    const skipped: string[] = [];
    for (const module of modules) {
      let own = 0;
      for (const test of module.children.allTests()) {
        own++;
        const result = test.result();
        if (result.state === 'passed') passed++;
        else if (result.state === 'failed') failed++;
        else if (result.state === 'skipped')
          skipped.push(`${test.fullName}: ${result.note ?? 'no reason given'}`);
      }
      if (module.state() === 'failed' && own === 0) failed++;
    }
    failed += errors.length;
    for (const line of skipped) console.log(`skipped  ${line}`);
    console.log(`${passed} passed, ${failed} failed, ${skipped.length} skipped`);
  }
}
