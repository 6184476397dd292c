import { describe, expect, it } from 'vitest';
import { PhaseTimer } from '../../src/ext-proc/phase-timer.ts';

describe('the phases of a stream', () => {
  it('are told one after the other, each once', () => {
    let nowMs = 0;
    const told: unknown[] = [];
    const timer = new PhaseTimer({
      clock: () => nowMs,
      timesResponse: () => false,
      observer: {
        opened: () => told.push('opened'),
        phase: (phase, durationMs) => told.push([phase, durationMs]),
        decided: (durationMs) => told.push(['decided', durationMs]),
        responded: (durationMs) => told.push(['responded', durationMs]),
        refused: (code) => told.push(['refused', code]),
        closed: (code, durationMs) => told.push([code, durationMs]),
      },
    });
    timer.begin('gathering');
    nowMs = 3;
    timer.begin('picking');
    nowMs = 4;
    timer.begin('waiting');
    nowMs = 50;
    timer.end('OK');
    expect(told).toEqual([
      'opened',
      ['gathering', 3],
      ['picking', 1],
      ['decided', 4],
      ['waiting', 46],
      ['OK', 50],
    ]);
  });

  it('cost nothing when nobody asks', () => {
    const timer = new PhaseTimer(undefined);
    timer.begin('gathering');
    timer.end('OK');
  });
});
