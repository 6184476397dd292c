/** What every server of ours gives back once it listens. */
export interface RunningServer {
  /** `host:port` as bound; the port is the real one when 0 was asked for. */
  readonly address: string;
  readonly port: number;
  /** Stops accepting, lets what runs finish until the deadline (milliseconds), then cuts it. Idempotent. */
  close(deadlineMs?: number): Promise<void>;
}
