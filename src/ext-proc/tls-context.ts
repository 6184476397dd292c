import type { SecureContextOptions } from 'node:tls';
import type { Log } from '../telemetry/index.ts';
import { CertificateFiles } from './certificate-files.ts';
import { selfSignedPair } from './self-signed.ts';
import type { TlsOptions } from './server-credentials.ts';

export interface TlsContext {
  readonly first: SecureContextOptions;
  /** Calls back with each later pair. The function returned stops it. */
  watch(apply: (context: SecureContextOptions) => void): () => void;
}

/** What a `node:tls` server needs; undefined for plain text. Throws if files are not a usable pair. */
export async function tlsContext(tls: TlsOptions, log: Log): Promise<TlsContext | undefined> {
  if (tls.mode === 'off') return undefined;
  if (tls.mode === 'self-signed') return { first: await selfSignedPair(), watch: () => () => {} };
  const files = await CertificateFiles.open(tls.cert, tls.key, log);
  const { certificate, privateKey } = files.latest;
  return {
    first: { cert: certificate, key: privateKey },
    watch(apply) {
      const listener: Parameters<CertificateFiles['addIdentityCertificateListener']>[0] = (update) => {
        if (update !== null) apply({ cert: update.certificate, key: update.privateKey });
      };
      files.addIdentityCertificateListener(listener);
      return () => files.removeIdentityCertificateListener(listener);
    },
  };
}
