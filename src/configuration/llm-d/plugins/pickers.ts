import { z } from 'zod';
import { type PluginType, pluginType } from '../plugin-type.ts';

/** As many fallbacks as our configuration allows, and the first endpoint. */
const mostEndpoints = 17;

function picker(name: string): PluginType {
  return pluginType({
    roles: ['picker'],
    parameters: z.strictObject({ maxNumOfEndpoints: z.int().min(1).max(mostEndpoints).default(1) }),
    map: ({ maxNumOfEndpoints }) => ({
      kind: 'plugin',
      role: 'picker',
      name,
      parameters: {},
      fallbacks: maxNumOfEndpoints - 1,
      ...(maxNumOfEndpoints > 1 ? { note: `extProc.fallbacks: ${maxNumOfEndpoints - 1}` } : {}),
    }),
  });
}

export const pickers: Readonly<Record<string, PluginType>> = {
  'max-score-picker': picker('max-score'),
  'random-picker': picker('random'),
  'weighted-random-picker': picker('weighted-random'),
};
