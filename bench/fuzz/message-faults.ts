/** A message longer than this is not one that a person reads. */
const LONGEST_MESSAGE = 800;
/** What the runtime says when code trips over a value; never a message about input. */
const ACCIDENTS =
  /is not a function|is not iterable|cannot read propert|cannot convert|undefined|\[object |invalid array length|call stack|out of memory|is not defined|bad_alloc|vector::|object null|of null|could not be cloned|URI malformed/i;

/** What is wrong with a refusal as something that a person has to act on. */
export function messageFaults(message: string): readonly string[] {
  const faults: string[] = [];
  if (message === '') faults.push('an empty message');
  if (message.length > LONGEST_MESSAGE) faults.push(`a message of ${message.length} characters`);
  if (ACCIDENTS.test(message)) faults.push(`tripped: ${message.slice(0, LONGEST_MESSAGE)}`);
  return faults;
}
