import { join } from 'node:path';
import { command } from '../disks/command.ts';

/** PEM files of a self-signed certificate. */
export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
}

const LOCAL_NAMES = 'IP:127.0.0.1,DNS:localhost,DNS:bucket.localhost';

export interface CertificateOptions {
  /** For what it is valid, as `subjectAltName` has it; this machine where absent. */
  readonly names?: string | undefined;
  /** Its common name. */
  readonly subject?: string | undefined;
  /** Who signs it; itself where absent. */
  readonly authority?: Certificate | undefined;
}

/** Makes a key and a certificate in a directory; clients that trust `certFile` as an authority accept it, if it is signed by itself. */
export async function makeCertificate(
  directory: string,
  { names = LOCAL_NAMES, subject = 'gantry test', authority }: CertificateOptions = {},
): Promise<Certificate> {
  const certFile = join(directory, 'cert.pem');
  const keyFile = join(directory, 'key.pem');
  const described = ['-subj', `/CN=${subject}`, '-addext', `subjectAltName=${names}`];
  const signed =
    authority === undefined ? [] : ['-CA', authority.certFile, '-CAkey', authority.keyFile, '-addext', 'basicConstraints=CA:FALSE'];
  await command(
    'openssl',
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-noenc',
    '-days',
    '2',
    '-keyout',
    keyFile,
    '-out',
    certFile,
    ...described,
    ...signed,
  );
  return { certFile, keyFile };
}
