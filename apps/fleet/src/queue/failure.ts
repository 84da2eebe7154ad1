import { GantryError } from '@gantry/core';

/** Rights, and objects that are missing; the queue of a node is not one that another node sees. */
const UNUSABLE = /^(?:28|42|3D|3F|PGBOSS_QUEUE_NOT_FOUND)/;
/** Who asks is not known, or has no valid password. Without a password that is needed, the driver finds its own words. */
const NOT_LET_IN = /^28/;
const WITHOUT_PASSWORD = /client password must be a string/;
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
  const message = error.message === '' ? code : error.message;
  if (NOT_LET_IN.test(code) || WITHOUT_PASSWORD.test(message)) {
    const hint = 'Check the role, its password (PGPASSFILE, ~/.pgpass of mode 0600, PGPASSWORD) and the pg_hba.conf of the server.';
    return new GantryError('QUEUE_UNUSABLE', { message: `cannot use the queue of the fleet: ${message}`, hint, cause: error });
  }
  if (UNUSABLE.test(code) || /pg-boss (?:is not installed|database requires migrations)/.test(message)) {
    const hint = 'gantry-fleet init, as the owner of the database, makes and updates what it needs, and adds nodes.';
    return new GantryError('QUEUE_UNUSABLE', { message: `cannot use the queue of the fleet: ${message}`, hint, cause: error });
  }
  if (DEFECTS.has(error.name) || DAMAGED.test(code)) return error;
  const hint = 'Exports that run go on. It is tried again.';
  const what = SQLSTATE.test(code) ? 'the queue of the fleet does not serve' : 'cannot reach the queue of the fleet';
  return new GantryError('QUEUE_UNAVAILABLE', { message: `${what}: ${message}`, hint, cause: error });
}

function codeOf(error: Error): string {
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
  return first instanceof Error && 'code' in first && typeof first.code === 'string' ? first.code : '';
}
