import { join } from 'node:path';
import { command } from '../disks/command.ts';

/** PEM files of a self-signed certificate. */
export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
}

const LOCAL_NAMES = 'IP:127.0.0.1,DNS:localhost,DNS:bucket.localhost';

/**
 * Makes a key and a certificate in a directory; clients that trust `certFile` as an authority accept it.
 *
 * @param names for what it is valid, as `subjectAltName` has it; this machine where absent
 */
export async function makeCertificate(directory: string, names: string = LOCAL_NAMES): Promise<Certificate> {
  const certFile = join(directory, 'cert.pem');
  const keyFile = join(directory, 'key.pem');
  const subject = ['-subj', '/CN=gantry test', '-addext', `subjectAltName=${names}`];
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
    ...subject,
  );
  return { certFile, keyFile };
}
