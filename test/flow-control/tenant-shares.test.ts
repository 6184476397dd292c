import { describe, expect, it } from 'vitest';
import { TenantShares } from '../../src/flow-control/tenant-shares.ts';

describe('the shares of tenants', () => {
  it('are never exceeded by one that is alone', () => {
    const shares = new TenantShares();
    for (let i = 0; i < 100; i++) shares.served('a', 1000, i);
    expect([shares.isOver('a', 100), shares.isOver('nobody', 100)]).toEqual([false, false]);
  });

  it('are exceeded by one that takes far more than the others do', () => {
    const shares = new TenantShares();
    for (let i = 0; i < 100; i++) {
      for (const tenant of ['a', 'b', 'c']) shares.served(tenant, 1000, i);
      shares.served('flood', 10_000, i);
    }
    expect(['a', 'b', 'c', 'flood'].filter((tenant) => shares.isOver(tenant, 100))).toEqual(['flood']);
  });

  it('are equal parts, with some tolerance for those that ask for a little more', () => {
    const shares = new TenantShares();
    shares.served('a', 1300, 0);
    shares.served('b', 700, 0);
    expect([shares.isOver('a', 0), shares.isOver('b', 0)]).toEqual([false, false]);
  });

  it('look at the last seconds alone', () => {
    const shares = new TenantShares();
    shares.served('a', 100_000, 0);
    shares.served('b', 1000, 0);
    expect(shares.isOver('a', 0)).toBe(true);
    for (let ms = 0; ms < 60_000; ms += 1000) {
      shares.served('a', 1000, ms);
      shares.served('b', 1000, ms);
    }
    expect(shares.isOver('a', 60_000)).toBe(false);
  });

  it('forget tenants that come no more', () => {
    const shares = new TenantShares();
    for (let i = 0; i < 50; i++) shares.served(`once ${i}`, 1000, i);
    shares.served('a', 1000, 60_000);
    shares.served('a', 1000, 60_001);
    expect(shares.isOver('a', 60_001)).toBe(false);
  });
});
