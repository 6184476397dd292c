#!/bin/sh
//usr/bin/env true; exec node --max-semi-space-size=32 "$0" "$@"

// A shell runs the line above, Node passes over it: the young generation (see v8-settings.ts) can be chosen on Node's
// command line only, and not every system's `env` splits a line into flags.

import { runProgram } from './index.ts';

// Who reads what is printed may leave early, as `head` does.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

process.exitCode = await runProgram(process.argv.slice(2));
