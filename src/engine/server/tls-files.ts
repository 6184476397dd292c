import { readFileSync } from 'node:fs';
import type { ServerOptions } from 'node:https';
import type { SecureContextOptions, Server, TLSSocket } from 'node:tls';
import { createSecureContext } from 'node:tls';
import type { Log } from '../../telemetry/index.ts';

/** vLLM's `--ssl-…` flags. */
export interface TlsFileOptions {
  readonly certFile: string;
  /** Absent: the key is in `certFile`, too. */
  readonly keyFile?: string | undefined;
  /** Those who sign the certificates of clients. */
  readonly caFile?: string | undefined;
  /** As in Python's `ssl` module. Clients show no certificate, may show one, must show one. */
  readonly certReqs: 0 | 1 | 2;
  /** OpenSSL's list. */
  readonly ciphers?: string | undefined;
}

const reloadIntervalMs = 1000;
const handshakeTimeoutMs = 10_000;

/**
 * A server's certificate from PEM files, which are read again while it serves. Files that do not fit together are
 * passed over: the last good ones stay, and the log tells it once.
 */
export class TlsFiles {
  readonly #options: TlsFileOptions;
  readonly #log: Log;
  #latest: SecureContextOptions;
  #problem: string | undefined;

  /** Throws if the files cannot be used. */
  constructor(options: TlsFileOptions, log: Log) {
    this.#options = options;
    this.#log = log;
    const { certFile, keyFile = certFile, caFile } = options;
    if (options.certReqs > 0 && caFile === undefined)
      throw new Error(
        '--ssl-cert-reqs asks clients for certificates: say with --ssl-ca-certs who signs them',
      );
    try {
      this.#latest = readContext(options);
    } catch (cause) {
      const files = [`--ssl-certfile ${certFile}`, `--ssl-keyfile ${keyFile}`];
      if (caFile !== undefined) files.push(`--ssl-ca-certs ${caFile}`);
      const reason = (cause as Error).message;
      throw new Error(`${files.join(', ')} must be PEM files that fit together: ${reason}`, { cause });
    }
  }

  get serverOptions(): ServerOptions {
    const { certReqs } = this.#options;
    return {
      ...this.#latest,
      minVersion: 'TLSv1.2',
      handshakeTimeout: handshakeTimeoutMs,
      requestCert: certReqs > 0,
      rejectUnauthorized: certReqs === 2,
    };
  }

  /** Follows the files. The function returned ends that. */
  serve(server: Server): () => void {
    // A client that need not show a certificate must still show a good one if it does.
    if (this.#options.certReqs === 1)
      server.on('secureConnection', (socket: TLSSocket) => {
        if (!socket.authorized && Object.keys(socket.getPeerCertificate()).length > 0) socket.destroy();
      });
    const timer = setInterval(() => this.#reload(server), reloadIntervalMs).unref();
    return () => clearInterval(timer);
  }

  #reload(server: Server): void {
    const { certFile } = this.#options;
    try {
      const next = readContext(this.#options);
      this.#problem = undefined;
      if (isSame(next, this.#latest)) return;
      this.#latest = next;
      server.setSecureContext(next);
      this.#log.info({ certFile }, 'certificate reloaded');
    } catch (error) {
      const reason = (error as Error).message;
      if (reason !== this.#problem)
        this.#log.error({ certFile, reason }, 'certificate not reloaded; the last good one stays');
      this.#problem = reason;
    }
  }
}

function readContext({ certFile, keyFile, caFile, ciphers }: TlsFileOptions): SecureContextOptions {
  const context = {
    cert: readFileSync(certFile),
    key: readFileSync(keyFile ?? certFile),
    ...(caFile !== undefined && { ca: readFileSync(caFile) }),
    ...(ciphers !== undefined && { ciphers }),
  };
  createSecureContext(context);
  return context;
}

function isSame(a: SecureContextOptions, b: SecureContextOptions): boolean {
  return (['cert', 'key', 'ca'] as const).every((part) => String(a[part]) === String(b[part]));
}
