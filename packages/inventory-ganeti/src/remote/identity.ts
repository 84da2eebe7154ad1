import { generateKeyPair, randomBytes, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import { InventoryError } from '@gantry/core/inventory';
import forge from 'node-forge';
import type { DomainSecret } from './domain-secret.ts';

/*
 * Certificates of a remote import and a remote export. Each side makes one for itself, tells the other through the RAPI, signed with the
 * cluster domain secret, and accepts no other on the line.
 */

/** A key and a certificate for it that it signed itself. They are in memory alone. */
export interface Identity {
  readonly key: string;
  /** PEM. */
  readonly certificate: string;
}

/** What the exporting side of Ganeti wants to see in a certificate (`X509_CERT_CN`). */
const GANETI_NAME = 'ganeti.example.com';
const SIGNATURE_HEADER = 'X-Ganeti-Signature';
const SIGNATURE = new RegExp(`^${SIGNATURE_HEADER}:[ \\t]*([0-9A-Za-z]{1,100})/([0-9A-Za-z]{1,100})[ \\t]*\\r?$`, 'im');
const PEM = /^-----BEGIN CERTIFICATE-----\r?\n[0-9A-Za-z+/=\r\n]{1,20000}-----END CERTIFICATE-----\r?$/m;
const DAY_MS = 24 * 60 * 60 * 1000;
const KEY_BITS = 2048;

const makeKeys = promisify(generateKeyPair);

/**
 * @param host where the other side connects to, if it does: its name or address stands in the certificate too, as Ganeti 3.1 looks for
 *   that
 */
export async function createIdentity(host?: string): Promise<Identity> {
  const { privateKey: key, publicKey } = await makeKeys('rsa', {
    modulusLength: KEY_BITS,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(publicKey);
  // A leading 1 keeps the number positive.
  certificate.serialNumber = `1${randomBytes(8).toString('hex').slice(1)}`;
  // Nodes whose clocks are behind must find it valid.
  certificate.validity.notBefore = new Date(Date.now() - DAY_MS);
  certificate.validity.notAfter = new Date(Date.now() + 2 * DAY_MS);
  const subject = [{ name: 'commonName', value: GANETI_NAME }];
  certificate.setSubject(subject);
  certificate.setIssuer(subject);
  certificate.setExtensions([{ name: 'subjectAltName', altNames: [dnsName(GANETI_NAME), ...(host === undefined ? [] : [nameOf(host)])] }]);
  certificate.sign(forge.pki.privateKeyFromPem(key), forge.md.sha256.create());
  // In the form that OpenSSL gives it, which is the one that is signed.
  return { key, certificate: new X509Certificate(forge.pki.certificateToPem(certificate)).toString() };
}

/** Kinds of names in a certificate (RFC 5280, 4.2.1.6). */
const DNS_NAME = 2;
const IP_ADDRESS = 7;

function dnsName(value: string): object {
  return { type: DNS_NAME, value };
}

function nameOf(host: string): object {
  return isIP(host) === 0 ? dnsName(host) : { type: IP_ADDRESS, ip: host };
}

/** The certificate, with the signature that lets the other cluster believe it. */
export function signCertificate({ certificate }: Identity, secret: DomainSecret): string {
  const { digest, salt } = secret.sign(certificate);
  return `${SIGNATURE_HEADER}: ${salt}/${digest}\n\n${certificate}`;
}

/** The certificate of the other side, from what it signed. @throws InventoryError `failed`, `denied` */
export function readSignedCertificate(text: string, secret: DomainSecret): X509Certificate {
  const [, salt = '', digest = ''] = SIGNATURE.exec(text) ?? [];
  const pem = PEM.exec(text)?.[0];
  if (salt === '' || pem === undefined) {
    throw new InventoryError('failed', { message: 'Ganeti gave no signed certificate', hint: 'Tell the authors of Gantry.' });
  }
  const certificate = parseCertificate(pem);
  if (secret.verify(certificate.toString(), { digest, salt })) return certificate;
  throw wrongSecret('its certificate');
}

function parseCertificate(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw new InventoryError('failed', { message: 'Ganeti gave a certificate that cannot be read', cause });
  }
}

/** @param what whose signature is wrong */
export function wrongSecret(what: string): InventoryError {
  return new InventoryError('denied', {
    message: `the signature of ${what} is wrong: the cluster has another domain secret`,
    hint: 'Copy /var/lib/ganeti/cluster-domain-secret of the master again.',
  });
}

/** Options of both ends of a connection: the certificates are compared as they are, so their names and times do not matter. */
export function tlsOptions(
  { key, certificate }: Identity,
  peer: X509Certificate,
): Pick<ConnectionOptions, 'key' | 'cert' | 'ca' | 'minVersion' | 'rejectUnauthorized'> {
  return { key, cert: certificate, ca: peer.toString(), minVersion: 'TLSv1.2', rejectUnauthorized: false };
}

/** Whether the other end has just this certificate. (That it has the key to it, the handshake showed.) */
export function isFrom(socket: TLSSocket, peer: X509Certificate): boolean {
  return socket.getPeerX509Certificate()?.raw.equals(peer.raw) === true;
}
