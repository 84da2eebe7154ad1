import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import type { Server } from 'node:https';
import { createServer } from 'node:https';
import type { SecureContextOptions } from 'node:tls';
import { createSecureContext } from 'node:tls';
import { errorText, GantryError } from '@gantry/core';

/** What renews a certificate does so weeks before it ends. */
const REFRESH_INTERVAL_MS = 60_000;

interface Pem {
  readonly cert: string;
  readonly key: string;
}

/** A certificate and its key, in files that something else renews: servers get those that are there now. */
export class CertificateFiles {
  readonly #certFile: string;
  readonly #keyFile: string;
  readonly #servers = new Set<Server>();
  #pem: Pem;

  private constructor(certFile: string, keyFile: string, pem: Pem) {
    this.#certFile = certFile;
    this.#keyFile = keyFile;
    this.#pem = pem;
  }

  /** @throws GantryError `USAGE` if a file cannot be read, is not PEM, or the key is that of another certificate */
  static async read(certFile: string, keyFile: string): Promise<CertificateFiles> {
    return new CertificateFiles(certFile, keyFile, await readPem(certFile, keyFile));
  }

  /** A server that serves the certificate, and each later one from {@link refresh} on, until it is closed. */
  createServer(handler: RequestListener): Server {
    const server = createServer(contextOf(this.#pem), handler);
    this.#servers.add(server);
    server.once('close', () => this.#servers.delete(server));
    return server;
  }

  /**
   * Reads the files again: new connections get what is in them.
   *
   * @throws GantryError `USAGE`, as {@link read}; servers keep what they have
   */
  async refresh(): Promise<void> {
    const pem = await readPem(this.#certFile, this.#keyFile);
    if (pem.cert === this.#pem.cert && pem.key === this.#pem.key) return;
    this.#pem = pem;
    for (const server of this.#servers) server.setSecureContext(contextOf(pem));
  }

  /** Calls {@link refresh} every minute. @param note gets why files cannot be used, once until they can */
  follow(note: (message: string) => void): Disposable {
    let noted: string | undefined;
    const refresh = async (): Promise<void> => {
      let failed: string | undefined;
      try {
        await this.refresh();
      } catch (error) {
        failed = errorText(error);
      }
      if (failed !== undefined && failed !== noted) note(`${failed}; the certificate of before is served further`);
      noted = failed;
    };
    const timer = setInterval(() => void refresh(), REFRESH_INTERVAL_MS);
    return { [Symbol.dispose]: () => clearInterval(timer) };
  }
}

function contextOf({ cert, key }: Pem): SecureContextOptions {
  return { cert, key, minVersion: 'TLSv1.2' };
}

async function readPem(certFile: string, keyFile: string): Promise<Pem> {
  const pem = await Promise.all([readFile(certFile, 'utf8'), readFile(keyFile, 'utf8')]).then(
    ([cert, key]) => ({ cert, key }),
    (error: unknown) => {
      throw unusable('cannot read the certificate or its key', error);
    },
  );
  const what = `cannot use the certificate ${certFile} with the key ${keyFile}`;
  try {
    // Of keys of another kind than that of the certificate, the context says nothing.
    if (!new X509Certificate(pem.cert).checkPrivateKey(createPrivateKey(pem.key))) throw new Error('it is the key of another one');
    createSecureContext(contextOf(pem));
    return pem;
  } catch (error) {
    throw unusable(what, error);
  }
}

function unusable(what: string, cause: unknown): GantryError {
  const reason = errorText(cause);
  return new GantryError('USAGE', { message: `${what}: ${reason}`, hint: 'Each is a file in PEM, the key without a passphrase.', cause });
}
