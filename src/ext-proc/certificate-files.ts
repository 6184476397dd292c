import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import type { experimental } from '@grpc/grpc-js';
import type { Log } from '../telemetry/index.ts';

type Update = Parameters<experimental.IdentityCertificateUpdateListener>[0];

const reloadIntervalMs = 1000;

/** The files that were configured hold no certificate and key that fit together. */
export class CertificateError extends Error {
  constructor(cert: string, key: string, cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    super(`expected a PEM certificate in ${cert} and its key in ${key}, found: ${reason}; check both files`, {
      cause,
    });
    this.name = 'CertificateError';
  }
}

/**
 * A certificate and its key from PEM files, read again while a server listens. A pair that cannot be read, or
 * does not fit together, is passed over: the last good one stays, and the log tells it once.
 */
export class CertificateFiles implements experimental.CertificateProvider {
  readonly #cert: string;
  readonly #key: string;
  readonly #log: Log;
  readonly #listeners = new Set<experimental.IdentityCertificateUpdateListener>();
  #latest: NonNullable<Update>;
  #timer: NodeJS.Timeout | undefined;
  #problem: string | undefined;

  private constructor(cert: string, key: string, log: Log, first: NonNullable<Update>) {
    this.#cert = cert;
    this.#key = key;
    this.#log = log;
    this.#latest = first;
  }

  /** Throws a `CertificateError` if the files are not a usable pair now. */
  static async open(cert: string, key: string, log: Log): Promise<CertificateFiles> {
    try {
      return new CertificateFiles(cert, key, log, await readPair(cert, key));
    } catch (cause) {
      throw new CertificateError(cert, key, cause);
    }
  }

  get latest(): NonNullable<Update> {
    return this.#latest;
  }

  addIdentityCertificateListener(listener: experimental.IdentityCertificateUpdateListener): void {
    this.#listeners.add(listener);
    // Not at once: grpc-js registers the receiver of the update only after this call.
    process.nextTick(listener, this.#latest);
    this.#timer ??= setInterval(() => void this.reload(), reloadIntervalMs).unref();
  }

  removeIdentityCertificateListener(listener: experimental.IdentityCertificateUpdateListener): void {
    this.#listeners.delete(listener);
    if (this.#listeners.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Client certificates are not asked for. */
  addCaCertificateListener(): void {}
  removeCaCertificateListener(): void {}

  async reload(): Promise<void> {
    const files = { cert: this.#cert, key: this.#key };
    try {
      const next = await readPair(this.#cert, this.#key);
      this.#problem = undefined;
      const isSame =
        next.certificate.equals(this.#latest.certificate) && next.privateKey.equals(this.#latest.privateKey);
      if (isSame) return;
      this.#latest = next;
      for (const listener of this.#listeners) listener(next);
      this.#log.info(files, 'certificate reloaded');
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (reason !== this.#problem)
        this.#log.error({ ...files, reason }, 'certificate not reloaded; the last good one stays');
      this.#problem = reason;
    }
  }
}

async function readPair(cert: string, key: string): Promise<NonNullable<Update>> {
  const [certificate, privateKey] = await Promise.all([readFile(cert), readFile(key)]);
  createSecureContext({ cert: certificate, key: privateKey });
  return { certificate, privateKey };
}
