import fc from 'fast-check';

// One seed, so that the same code always gets the same verdict. FAST_CHECK_SEED looks at other cases, and
// `npm run fuzz` looks longer.
fc.configureGlobal({ seed: Number(process.env['FAST_CHECK_SEED'] ?? 1) });
