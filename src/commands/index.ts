/**
 * The command line. Each command is a composition root: it reads the configuration, builds plain objects,
 * starts servers, and stops them. May import every room; no room imports it. Owns no state beyond a run.
 */
export { runProgram } from './program.ts';
