/** Error codes of RFC 9113, section 7. */
export const ErrorCode = {
  NoError: 0,
  ProtocolError: 1,
  InternalError: 2,
  FlowControlError: 3,
  SettingsTimeout: 4,
  StreamClosed: 5,
  FrameSizeError: 6,
  RefusedStream: 7,
  Cancel: 8,
  CompressionError: 9,
  EnhanceYourCalm: 11,
} as const;

export type ErrorCodeValue = (typeof ErrorCode)[keyof typeof ErrorCode];

/** Ends the whole connection with GOAWAY (section 5.4.1). */
export class ConnectionError extends Error {
  readonly code: ErrorCodeValue;

  constructor(code: ErrorCodeValue, message: string) {
    super(message);
    this.name = 'ConnectionError';
    this.code = code;
  }
}

export function violation(expected: string, found: string): ConnectionError {
  return new ConnectionError(ErrorCode.ProtocolError, `Expected ${expected}, found ${found}.`);
}

export function frameSize(expected: string, length: number): ConnectionError {
  return new ConnectionError(ErrorCode.FrameSizeError, `Expected ${expected}, found ${length} bytes.`);
}

export function tooMuch(what: string): ConnectionError {
  return new ConnectionError(ErrorCode.EnhanceYourCalm, `The peer sends too many ${what}.`);
}
