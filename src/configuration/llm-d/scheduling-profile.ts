import type { SchemaProblem } from '../schema-problems.ts';
import type { EndpointPickerConfig } from './endpoint-picker-config.ts';
import { type Instance, problem } from './instances.ts';

/** A plugin in the one profile that runs. */
export interface Use {
  readonly instance: Instance;
  /** Of a scorer. */
  readonly weight: number;
}

/**
 * The one profile that serves every request, by llm-d's defaulting: without profiles one of every filter, scorer
 * and picker, here in the order of the file. Undefined when there is none that could run.
 */
export function schedulingProfile(
  { schedulingProfiles: profiles }: EndpointPickerConfig,
  instances: readonly Instance[],
): { readonly uses: readonly Use[] | undefined; readonly problems: readonly SchemaProblem[] } {
  const problems: SchemaProblem[] = [];
  const handlers = instances.filter(({ definition }) => definition.roles.includes('handler'));
  for (const { at, name } of handlers.slice(1))
    problems.push(
      problem(['plugins', at], `a second profile handler, "${name}"; one decides which profiles run`),
    );
  const names = new Set<string>();
  for (const [at, { name }] of profiles.entries()) {
    if (names.has(name))
      problems.push(problem(['schedulingProfiles', at], `a second profile named "${name}"`));
    names.add(name);
  }
  // Its own refusal says enough.
  if (handlers.some(({ mapping }) => mapping.kind === 'refused')) return { uses: undefined, problems };
  if (profiles.length > 1) {
    const handler = handlers[0]?.name ?? 'single-profile-handler, the default,';
    problems.push(
      problem(['schedulingProfiles', 1], `${handler} runs exactly one profile; remove the others`),
    );
    return { uses: undefined, problems };
  }
  const byName = new Map(instances.map((instance) => [instance.name, instance]));
  const [profile] = profiles;
  if (profile === undefined)
    return { uses: instances.filter(isScheduling).map((instance) => ({ instance, weight: 1 })), problems };
  const uses = profile.plugins.flatMap(({ pluginRef, weight = 1 }) => {
    const instance = byName.get(pluginRef);
    return instance === undefined ? [] : [{ instance, weight }];
  });
  const pickers = uses.filter(({ instance }) => instance.definition.roles.includes('picker'));
  if (pickers.length > 1)
    problems.push(problem(['schedulingProfiles', 0, 'plugins'], 'a profile has one picker; found several'));
  const anyPicker = instances.find(({ definition }) => definition.roles.includes('picker'));
  const isWithout = pickers.length === 0 && anyPicker !== undefined;
  return { uses: isWithout ? [...uses, { instance: anyPicker, weight: 1 }] : uses, problems };
}

function isScheduling({ definition: { roles } }: Instance): boolean {
  return roles.includes('filter') || roles.includes('scorer') || roles.includes('picker');
}
