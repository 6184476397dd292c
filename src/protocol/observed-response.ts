import type { ResponseObserver } from './response-observer.ts';

export interface ObservedResponse extends ResponseObserver {
  /** The message of an error that came as an event of a stream; undefined if none did. */
  readonly errorMessage: string | undefined;
}
