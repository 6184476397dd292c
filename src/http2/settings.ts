import { FrameType, initialWindow, maxFrameBytes, Setting } from './frame.ts';
import { frameSize, violation } from './http2-error.ts';
import type { Http2Limits } from './limits.ts';
import type { Output } from './output.ts';

/** Our SETTINGS, and the connection's window that they cannot tell (RFC 9113, section 6.9.2). */
export function writeSettings(output: Output, limits: Http2Limits): void {
  const settings = [
    [Setting.HeaderTableSize, limits.hpackTableBytes],
    [Setting.MaxConcurrentStreams, limits.maxConcurrentStreams],
    [Setting.InitialWindowSize, limits.streamWindowBytes],
    [Setting.MaxHeaderListSize, limits.maxHeaderListBytes],
  ] as const;
  output.frame(FrameType.Settings, 0, 0, settings.length * 6);
  for (const [id, value] of settings) {
    output.uint16(id);
    output.uint32(value);
  }
  output.windowUpdate(0, limits.connectionWindowBytes - initialWindow);
}

/**
 * Reads the peer's SETTINGS at `bytes[at, at + length)` and tells of those that concern us. Throws a
 * `ConnectionError` for values out of range.
 */
export function readSettings(
  bytes: Buffer,
  at: number,
  length: number,
  onInitialWindow: (windowBytes: number) => void,
): void {
  if (length % 6 !== 0) throw frameSize('SETTINGS in multiples of 6 bytes', length);
  for (let place = at; place < at + length; place += 6) {
    const value = bytes.readUInt32BE(place + 2);
    switch (bytes.readUInt16BE(place)) {
      case Setting.EnablePush:
        if (value > 1) throw violation('ENABLE_PUSH of 0 or 1', String(value));
        break;
      case Setting.InitialWindowSize:
        onInitialWindow(value);
        break;
      case Setting.MaxFrameSize:
        if (value < maxFrameBytes || value > 0xff_ffff)
          throw violation('MAX_FRAME_SIZE in its range', String(value));
        break;
      default:
    }
  }
}
