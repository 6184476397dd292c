/** Over how long service is remembered. */
const memoryMs = 10_000;
/** A tenant is over its share when it takes so many times an equal part. */
const tolerance = 1.5;
/** Accounts that are kept; those beyond are forgotten, the idle ones first. */
const mostTenants = 10_000;

interface Account {
  tokens: number;
  atMs: number;
}

/**
 * What each tenant has been served of late, in tokens, and whether that is more than its share: an equal part among
 * the tenants that were served in that time. One tenant alone is never over it.
 */
export class TenantShares {
  /** The one served last is the last. */
  readonly #accounts = new Map<string, Account>();
  readonly #all: Account = { tokens: 0, atMs: 0 };

  served(tenant: string, tokens: number, nowMs: number): void {
    const account = this.#accounts.get(tenant) ?? { tokens: 0, atMs: nowMs };
    add(account, tokens, nowMs);
    add(this.#all, tokens, nowMs);
    this.#accounts.delete(tenant);
    this.#accounts.set(tenant, account);
    this.#forget(nowMs);
  }

  isOver(tenant: string, nowMs: number): boolean {
    const account = this.#accounts.get(tenant);
    if (account === undefined || this.#accounts.size < 2) return false;
    return remaining(account, nowMs) * this.#accounts.size > tolerance * remaining(this.#all, nowMs);
  }

  #forget(nowMs: number): void {
    for (const [tenant, { atMs }] of this.#accounts) {
      if (nowMs - atMs <= 2 * memoryMs && this.#accounts.size <= mostTenants) return;
      this.#accounts.delete(tenant);
    }
  }
}

function add(account: Account, tokens: number, nowMs: number): void {
  account.tokens = remaining(account, nowMs) + tokens;
  account.atMs = nowMs;
}

function remaining({ tokens, atMs }: Account, nowMs: number): number {
  return tokens * Math.exp((atMs - nowMs) / memoryMs);
}
