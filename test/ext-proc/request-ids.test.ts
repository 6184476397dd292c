import { describe, expect, it } from 'vitest';
import { requestIds } from '../../src/ext-proc/request-ids.ts';

describe('request ids', () => {
  it('are random UUIDs of version 4, each another', () => {
    const next = requestIds();
    const ids = Array.from({ length: 1000 }, next);
    expect(new Set(ids).size).toBe(1000);
    for (const id of ids)
      expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });
});
