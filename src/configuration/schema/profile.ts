import { z } from 'zod';
import { strategies, strategyNames, usualFilters } from '../strategies.ts';

const parameters = z
  .record(z.string(), z.unknown())
  .default({})
  .describe('Parameters of the plugin; `pointsman check` names the known ones.');
const pluginName = z
  .string()
  .min(1)
  .describe('A built-in name, a path to a .ts or .js file (relative to this file), or an npm package.');

export const profile = z
  .strictObject({
    strategy: z
      .enum(strategyNames)
      .optional()
      .describe(
        'A ready profile, `default` without one; what is given beside it replaces its filters, scorers or picker.',
      ),
    filters: z
      .array(z.strictObject({ name: pluginName, parameters }))
      .default(usualFilters.map((each) => ({ ...each })))
      .describe('Applied in order; each keeps some endpoints.'),
    scorers: z
      .array(
        z.strictObject({
          name: pluginName,
          weight: z.number().positive().default(1).describe("Factor on this scorer's preference."),
          parameters,
        }),
      )
      .default(strategies.default.scorers.map((each) => ({ ...each })))
      .describe('Preferences; the endpoint with the largest weighted sum is chosen.'),
    picker: z
      .strictObject({ name: pluginName, parameters })
      .default({ name: 'max-score', parameters: {} })
      .describe('How the choice is made from the sums.'),
  })
  .prefault({})
  .describe('How an endpoint is chosen.');

/** What every entry of a profile has, whatever else it says. */
export const pluginReference = z.object({ name: pluginName, parameters });
