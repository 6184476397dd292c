import { type Configuration, changedKeys } from '../configuration/index.ts';

/** What `PickerService.reload` takes from a changed configuration. */
const reloadedKeys = [
  'profile',
  'flowControl',
  'objectives',
  'modelRewrites',
  'decisions.served',
  'decisions.headers',
];

/** Keys whose new values are not in force before a restart. */
export function keysThatNeedRestart(inForce: Configuration, next: Configuration): string[] {
  const isTaken = (key: string) => reloadedKeys.some((own) => key === own || key.startsWith(`${own}.`));
  return changedKeys(inForce, next).filter((key) => !isTaken(key));
}
