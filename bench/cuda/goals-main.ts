/** Prints what is asked of the CUDA backend beside what reports of `bench/cuda/run` found: goals-main REPORT... */
import { readFileSync } from 'node:fs';
import { goalsOf, goalsTable } from './goals.ts';

const reports = process.argv.slice(2);
if (reports.length === 0) {
  console.error('goals-main: which reports? goals-main bench/results/*-cuda.md');
  process.exitCode = 1;
} else {
  console.log(goalsTable(goalsOf(reports.map((file) => readFileSync(file, 'utf8')).join('\n'))));
}
