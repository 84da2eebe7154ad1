import { X509Certificate } from 'node:crypto';
import type { ConnectionOptions } from 'node:tls';
import { checkServerIdentity } from 'node:tls';
import { InventoryError } from '@gantry/core/inventory';
import { readPrivateFile } from '../private-file.ts';

/** How the certificate of RAPI is checked; there is no way to leave it unchecked. */
export type RapiTrust =
  /** One of these certificates itself, by its SHA-256 in capitals with colons. */
  | { readonly kind: 'pinned'; readonly fingerprints: ReadonlySet<string> }
  /** Signed by one of these for the name of the host, or one of these itself (which then may have any name, as Ganeti's own has). */
  | { readonly kind: 'ca'; readonly certificates: readonly X509Certificate[] }
  /** Signed by an authority that this machine trusts, for the name of the host. */
  | { readonly kind: 'system' };

export interface TrustSource {
  /** A file with certificates, if the address names one. */
  readonly ca: string | undefined;
  /** A file with fingerprints, if the address names one. */
  readonly fingerprints: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * Finds what the certificate is checked with: files that the address names, else those of `GANTRY_GANETI_FINGERPRINTS` and `GANTRY_GANETI_CA`.
 * Fingerprints come first.
 *
 * @throws InventoryError `denied`, where a file cannot be used
 */
export async function findTrust({ ca, fingerprints, env }: TrustSource): Promise<RapiTrust> {
  const isNamed = ca !== undefined || fingerprints !== undefined;
  const fingerprintFile = isNamed ? fingerprints : nonEmpty(env['GANTRY_GANETI_FINGERPRINTS']);
  if (fingerprintFile !== undefined) return { kind: 'pinned', fingerprints: await readFingerprints(fingerprintFile) };
  const caFile = isNamed ? ca : nonEmpty(env['GANTRY_GANETI_CA']);
  return caFile === undefined ? { kind: 'system' } : { kind: 'ca', certificates: await readCertificates(caFile) };
}

/** TLS options with which only a trusted server is spoken to; a pinned one has to be checked with {@link isPinned} besides. */
export function trustOptions(trust: RapiTrust): ConnectionOptions {
  if (trust.kind === 'system') return { rejectUnauthorized: true };
  if (trust.kind === 'pinned') return { rejectUnauthorized: false };
  const own = new Set(trust.certificates.map(({ fingerprint256 }) => fingerprint256));
  return {
    rejectUnauthorized: true,
    ca: trust.certificates.map(String),
    checkServerIdentity: (host, certificate) => (own.has(certificate.fingerprint256) ? undefined : checkServerIdentity(host, certificate)),
  };
}

/** Whether a server that presents this certificate may be spoken to, as far as fingerprints are concerned. */
export function isPinned(trust: RapiTrust, fingerprint: string | undefined): boolean {
  return trust.kind !== 'pinned' || (fingerprint !== undefined && trust.fingerprints.has(fingerprint));
}

/** As `openssl x509 -noout -fingerprint -sha256` prints it, or the digits alone, with or without colons. */
const FINGERPRINT = /^(?:sha256 fingerprint=)?([0-9a-f]{2}(?::?[0-9a-f]{2}){31})$/i;

async function readFingerprints(path: string): Promise<ReadonlySet<string>> {
  const text = await readPrivateFile(path, { what: 'file of fingerprints', secret: false });
  const lines = text.split('\n').map((line) => line.trim());
  const fingerprints = new Set<string>();
  for (const [index, line] of lines.entries()) {
    if (line === '' || line.startsWith('#')) continue;
    const digits = FINGERPRINT.exec(line)?.[1]?.replaceAll(':', '').toUpperCase();
    if (digits === undefined) throw unusable(`line ${index + 1} of ${path} is not a SHA-256 fingerprint`);
    fingerprints.add((digits.match(/../g) ?? []).join(':'));
  }
  if (fingerprints.size === 0) throw unusable(`there is no fingerprint in ${path}`);
  return fingerprints;
}

function unusable(message: string): InventoryError {
  return new InventoryError('denied', {
    message,
    hint: 'On the master: openssl x509 -in /var/lib/ganeti/rapi.pem -noout -fingerprint -sha256',
  });
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** The certificates of a PEM file; keys in it are passed over, so that `/var/lib/ganeti/rapi.pem` itself can be named. */
async function readCertificates(path: string): Promise<readonly X509Certificate[]> {
  const text = await readPrivateFile(path, { what: 'file of certificates', secret: false });
  try {
    const certificates = (text.match(CERTIFICATE) ?? []).map((pem) => new X509Certificate(pem));
    if (certificates.length > 0) return certificates;
  } catch (cause) {
    throw new InventoryError('denied', { message: `a certificate in ${path} cannot be read`, cause });
  }
  throw new InventoryError('denied', {
    message: `there is no certificate in ${path}`,
    hint: 'On the master: openssl x509 -in /var/lib/ganeti/rapi.pem',
  });
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === '' ? undefined : value;
}
