import { errorText, GantryError } from '@gantry/core';

/** Rights, and objects that are missing; the queue of a node is not one that another node sees. */
const UNUSABLE = /^(?:28|42|3D|3F|PGBOSS_QUEUE_NOT_FOUND)/;
/** Who asks is not known, or has no valid password. Without a password that is needed, the driver finds its own words. */
const NOT_LET_IN = /^28/;
const WITHOUT_PASSWORD = /client password must be a string/;
/** A certificate of the server that is not accepted, by the names of Node and OpenSSL. */
const NOT_TRUSTED =
  /^(?:CERT_|ERR_TLS_CERT|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_|INVALID_CA|INVALID_PURPOSE|HOSTNAME_MISMATCH)/;
/** Gantry trusts what this host trusts. */
const ADVICE_OF_NODE = /; if the root CA is installed locally, try running Node\.js with .*$/;
/** What the server says in TLS itself: of the certificate of who asks, or of protocols. */
const TLS_ALERT = /^ERR_SSL_.*ALERT/;
const WITHOUT_TLS = /server does not support SSL/;
/**
 * Data of the database are damaged: the process ends, and the next one looks at them anew, which makes an embedded queue anew if it must.
 */
const DAMAGED = /^XX00[12]$/;
/** A state of the server, not of the way to it. */
const SQLSTATE = /^(?!08|53|57)(?=.*\d)[0-9A-Z]{5}$/;
/** Defects of programs, those within WebAssembly too. What comes from a driver, the network or TLS is none of them. */
const DEFECTS: ReadonlySet<string> = new Set([
  'TypeError',
  'RangeError',
  'ReferenceError',
  'SyntaxError',
  'AssertionError',
  'ZodError',
  'RuntimeError',
  'AbortError',
]);

/** Whether an error says that what the database has on its disk is damaged. */
export function isDamage(error: unknown): error is Error {
  return error instanceof Error && DAMAGED.test(codeOf(error));
}

/** What the database failed with, in Gantry's terms; a defect comes back as it is. Its messages have no password. */
export function queueFailure(error: unknown): unknown {
  if (error instanceof GantryError || !(error instanceof Error)) return error;
  const code = codeOf(error);
  const message = errorText(error).replace(ADVICE_OF_NODE, '');
  if (NOT_LET_IN.test(code) || WITHOUT_PASSWORD.test(message)) {
    const hint = 'Check the role, its password (PGPASSFILE, ~/.pgpass of mode 0600, PGPASSWORD) and the pg_hba.conf of the server.';
    return new GantryError('QUEUE_UNUSABLE', { message: `cannot use the queue of the fleet: ${message}`, hint, cause: error });
  }
  if (UNUSABLE.test(code) || /pg-boss (?:is not installed|database requires migrations)/.test(message)) {
    const hint = 'gantry-fleet init, as the owner of the database, makes and updates what it needs, and adds nodes.';
    return new GantryError('QUEUE_UNUSABLE', { message: `cannot use the queue of the fleet: ${message}`, hint, cause: error });
  }
  if (DEFECTS.has(error.name) || DAMAGED.test(code)) return error;
  const what = SQLSTATE.test(code) ? 'the queue of the fleet does not serve' : 'cannot reach the queue of the fleet';
  const hint = `${tlsHint(code, message)}Exports that run go on. It is tried again.`;
  return new GantryError('QUEUE_UNAVAILABLE', { message: `${what}: ${message}`, hint, cause: error });
}

/** What to do about a failure of TLS; empty for others. */
function tlsHint(code: string, message: string): string {
  if (NOT_TRUSTED.test(code)) return 'Name the authority of the server (sslrootcert), and the server as its certificate does. ';
  if (TLS_ALERT.test(code)) return 'Look at the client certificate (sslcert, sslkey), and at what the server logs. ';
  return WITHOUT_TLS.test(message) ? 'Set ssl = on in its postgresql.conf; sslmode=disable goes without TLS. ' : '';
}

function codeOf(error: Error): string {
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
  return first instanceof Error && 'code' in first && typeof first.code === 'string' ? first.code : '';
}
