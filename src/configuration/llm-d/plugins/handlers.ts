import { noParameters, type PluginType, pluginType, withoutEffect } from '../plugin-type.ts';

const handler = ['handler'] as const;

const notServed =
  'disaggregation is not served yet, and its decode part alone would be another deployment; for engines that prefill and decode themselves use single-profile-handler with one profile';
const disaggregation = withoutEffect('refused', handler, notServed);
/** Sets headers for the profiles that a handler has run; it is none itself. */
const headersHandler = withoutEffect('refused', ['request'], notServed);
const decider = withoutEffect('ignored', ['request'], 'decides for a disaggregation handler only');

export const handlers: Readonly<Record<string, PluginType>> = {
  'single-profile-handler': pluginType({
    roles: handler,
    parameters: noParameters,
    map: () => ({ kind: 'built in', note: 'every request runs the one profile' }),
  }),
  'disagg-profile-handler': disaggregation,
  'pd-profile-handler': disaggregation,
  'disagg-headers-handler': headersHandler,
  'prefill-header-handler': headersHandler,
  'data-parallel-profile-handler': withoutEffect(
    'refused',
    handler,
    'data-parallel ranks are not chosen through x-data-parallel-host-port; list each rank as an endpoint and use single-profile-handler',
  ),
  'header-profile-handler': withoutEffect(
    'refused',
    handler,
    'one profile serves all requests; use single-profile-handler, and one gateway route and picker per profile',
  ),
  'prefix-based-pd-decider': decider,
  'always-disagg-pd-decider': decider,
  'always-disagg-multimodal-decider': decider,
};
