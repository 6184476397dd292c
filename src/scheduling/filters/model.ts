import { defineFilter, steady } from '../plugins.ts';

/** An endpoint that has not told its models may serve any, so it passes; so does all if none is asked for. */
export default defineFilter({
  description: "Keeps endpoints that list the request's model.",
  create: () =>
    steady(({ request: { model } }, endpoints) =>
      model === undefined
        ? endpoints
        : endpoints.filter(({ models }) => models.length === 0 || models.includes(model)),
    ),
});
