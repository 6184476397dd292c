import { experimental, ServerCredentials } from '@grpc/grpc-js';
import { CertificateFiles } from './certificate-files.ts';

export type TlsOptions =
  | { readonly mode: 'self-signed' }
  /** PEM files; read again when they change. */
  | { readonly mode: 'files'; readonly cert: string; readonly key: string }
  | { readonly mode: 'off' };

const validityDays = 3_650;

export async function serverCredentials(tls: TlsOptions): Promise<ServerCredentials> {
  switch (tls.mode) {
    case 'off':
      return ServerCredentials.createInsecure();
    case 'self-signed':
      return selfSigned();
    case 'files':
      return fromFiles(tls.cert, tls.key);
  }
}

/** Data planes accept any certificate here: they reach us by a cluster address, and want encryption only. */
async function selfSigned(): Promise<ServerCredentials> {
  const { generate } = await import('selfsigned');
  const { cert, private: key } = await generate([{ name: 'commonName', value: 'pointsman' }], {
    keyType: 'ec',
    curve: 'P-256',
    algorithm: 'sha256',
    notAfterDate: new Date(Date.now() + validityDays * 86_400_000),
    extensions: [
      { name: 'basicConstraints', cA: false },
      { name: 'keyUsage', digitalSignature: true },
      { name: 'extKeyUsage', serverAuth: true },
      {
        name: 'subjectAltName',
        altNames: [
          { type: 2, value: 'localhost' },
          { type: 7, ip: '127.0.0.1' },
        ],
      },
    ],
  });
  return ServerCredentials.createSsl(null, [
    { cert_chain: Buffer.from(cert), private_key: Buffer.from(key) },
  ]);
}

async function fromFiles(cert: string, key: string): Promise<ServerCredentials> {
  const files = await CertificateFiles.open(cert, key);
  // The declared parameter names are swapped in grpc-js 1.14: the identity comes first.
  const create: (
    identity: experimental.CertificateProvider,
    ca: experimental.CertificateProvider | null,
    requireClientCertificate: boolean,
  ) => ServerCredentials = experimental.createCertificateProviderServerCredentials;
  return create(files, null, false);
}
