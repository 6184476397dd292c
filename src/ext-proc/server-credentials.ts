import { experimental, ServerCredentials } from '@grpc/grpc-js';
import type { Log } from '../telemetry/index.ts';
import { CertificateFiles } from './certificate-files.ts';
import { selfSignedPair } from './self-signed.ts';

export type TlsOptions =
  | { readonly mode: 'self-signed' }
  /** PEM files; read again when they change. */
  | { readonly mode: 'files'; readonly cert: string; readonly key: string }
  | { readonly mode: 'off' };

export async function serverCredentials(tls: TlsOptions, log: Log): Promise<ServerCredentials> {
  switch (tls.mode) {
    case 'off':
      return ServerCredentials.createInsecure();
    case 'self-signed':
      return selfSigned();
    case 'files':
      return fromFiles(tls.cert, tls.key, log);
  }
}

async function selfSigned(): Promise<ServerCredentials> {
  const { cert, key } = await selfSignedPair();
  return ServerCredentials.createSsl(null, [{ cert_chain: cert, private_key: key }]);
}

async function fromFiles(cert: string, key: string, log: Log): Promise<ServerCredentials> {
  const files = await CertificateFiles.open(cert, key, log);
  // The declared parameter names are swapped in grpc-js 1.14: the identity comes first.
  const create: (
    identity: experimental.CertificateProvider,
    ca: experimental.CertificateProvider | null,
    requireClientCertificate: boolean,
  ) => ServerCredentials = experimental.createCertificateProviderServerCredentials;
  return create(files, null, false);
}
