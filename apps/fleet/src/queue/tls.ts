import { readFileSync } from 'node:fs';
import type { ConnectionOptions } from 'node:tls';
import { createSecureContext, getCACertificates } from 'node:tls';
import { errorText, GantryError } from '@gantry/core';
import { isLoopback } from '../loopback.ts';

/** How a connection to PostgreSQL is protected; the driver reads it for each connection that it makes. */
export type Tls = Pick<ConnectionOptions, 'ca' | 'cert' | 'key' | 'checkServerIdentity' | 'minVersion'>;

/** The address of a database without what it says of TLS, and what that means. */
export interface Protected {
  readonly url: string;
  /** False: without TLS. */
  readonly ssl: Tls | false;
}

/** As libpq has them, with the variable that stands for each. What the driver makes of them differs from libpq. */
const PARAMETERS = { sslmode: 'PGSSLMODE', sslrootcert: 'PGSSLROOTCERT', sslcert: 'PGSSLCERT', sslkey: 'PGSSLKEY' } as const;
type Parameter = keyof typeof PARAMETERS;

/** Those of the driver alone, which would say something else than `sslmode`. */
const OTHERS = ['ssl', 'uselibpqcompat', 'sslnegotiation', 'sslpassword'];

/** `sslmode` of libpq; the other ones of it look at no certificate, or go without TLS where the server says so. */
const MODES: ReadonlySet<string> = new Set(['disable', 'verify-ca', 'verify-full']);

/**
 * Reads what the address of a database, and the environment, say of TLS. Without a mode, the certificate of the server is checked with its
 * name (`verify-full`), unless the server is on this host.
 *
 * @param url one of PostgreSQL that is valid
 * @throws GantryError `USAGE` for what is not secure or cannot be read
 */
export function protect(url: URL, env: NodeJS.ProcessEnv): Protected {
  const given = (name: Parameter): string | undefined => emptyToNone(url.searchParams.get(name) ?? env[PARAMETERS[name]]);
  for (const name of OTHERS) if (url.searchParams.has(name)) throw wrongCall(`${name} in the address of the database is not supported`);
  // The driver takes the last one of several.
  for (const name of ['host', ...Object.keys(PARAMETERS)])
    if (url.searchParams.getAll(name).length > 1) throw wrongCall(`the address of the database says ${name} more than once`);
  const mode = given('sslmode') ?? (isHere(url, env) ? 'disable' : 'verify-full');
  if (!MODES.has(mode)) throw wrongCall(`sslmode=${mode} does not check whose server it is`);
  const files = { rootcert: given('sslrootcert'), cert: given('sslcert'), key: given('sslkey') };
  const bare = new URL(url);
  for (const name of Object.keys(PARAMETERS)) bare.searchParams.delete(name);
  return { url: bare.href, ssl: mode === 'disable' ? false : tlsOf(mode, files) };
}

/** Whether the server is reached through a socket, or through the loopback. The driver finds the host in the same places. */
function isHere(url: URL, env: NodeJS.ProcessEnv): boolean {
  const host = url.searchParams.get('host') ?? emptyToNone(decodeURIComponent(url.hostname)) ?? env['PGHOST'] ?? 'localhost';
  return host.startsWith('/') || isLoopback(host.replace(/^\[(.+)\]$/, '$1'));
}

interface Files {
  readonly rootcert: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

/** The files are read again for each connection, as something else may renew them; one that cannot be read then is as it was. */
function tlsOf(mode: string, { rootcert, cert, key }: Files): Tls {
  if ((cert === undefined) !== (key === undefined)) throw wrongCall('sslcert and sslkey belong together');
  if (mode === 'verify-ca' && rootcert === undefined) throw wrongCall('sslmode=verify-ca needs sslrootcert');
  const authorities = rootcert === undefined || rootcert === 'system' ? hostAuthorities : fileReader('sslrootcert', rootcert);
  const own = cert === undefined || key === undefined ? undefined : { cert: fileReader('sslcert', cert), key: fileReader('sslkey', key) };
  const context = (): Tls => ({ ca: authorities(), minVersion: 'TLSv1.2', ...(own && { cert: own.cert(), key: own.key() }) });
  try {
    createSecureContext(context());
  } catch (error) {
    const names = [rootcert, cert, key].filter((name) => name !== undefined).join(', ');
    throw wrongCall(`cannot use ${names} for the database: ${errorText(error)}`, error);
  }
  return {
    ...(mode === 'verify-ca' && { checkServerIdentity: () => undefined }),
    minVersion: 'TLSv1.2',
    get ca() {
      return authorities();
    },
    get cert() {
      return own?.cert();
    },
    get key() {
      return own?.key();
    },
  };
}

/** Those of Node, and those that the administrator of this host has added to it. */
function hostAuthorities(): string[] {
  return [...new Set([...getCACertificates('default'), ...getCACertificates('system')])];
}

/** @throws GantryError `USAGE` if the file cannot be read now */
function fileReader(name: string, path: string): () => string {
  let last: string;
  try {
    last = readFileSync(path, 'utf8');
  } catch (error) {
    throw wrongCall(`cannot read ${path} (${name} of the database): ${errorText(error)}`, error);
  }
  return () => {
    try {
      last = readFileSync(path, 'utf8');
    } catch {
      // It is being replaced: as it was.
    }
    return last;
  };
}

function emptyToNone(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}

function wrongCall(message: string, cause?: unknown): GantryError {
  const hint =
    'Write sslmode=verify-full, with sslrootcert=FILE for an authority of your own and sslcert=FILE&sslkey=FILE for a client certificate, each in PEM; sslmode=disable goes without TLS.';
  return new GantryError('USAGE', { message, hint, cause });
}
