import type { EndpointPicker } from '../../src/endpoint-picker/assignment.ts';

/** `submit` of a fake that picks with a promise: like a picker that lets every request wait a little. */
export function submitByPicking(pick: EndpointPicker['pick']): EndpointPicker['submit'] {
  return (request, options, listener) => {
    const signal = options.signal ?? new AbortController().signal;
    pick(request, { ...options, signal }).then(
      (assignment) => listener.placed(assignment),
      (error) => listener.refused(error),
    );
  };
}
