import { GantryError } from '@gantry/core';

/** Classes of SQLSTATE (PostgreSQL's appendix A) that say that the server cannot serve now: connection, resources, operator. */
const UNAVAILABLE = /^(?:08|53|57)/;
/** Rights, and objects that are missing; the queue of a node is not one that another node sees. */
const UNUSABLE = /^(?:28|42501|3D|3F|42P01|PGBOSS_QUEUE_NOT_FOUND)/;
const NETWORK = /^E[A-Z]+$/;

/** What the database failed with, in Gantry's terms; another error comes back as it is. Its messages have no password. */
export function queueFailure(error: unknown): unknown {
  if (error instanceof GantryError || !(error instanceof Error)) return error;
  const code = codeOf(error);
  const message = error.message === '' ? code : error.message;
  if (UNUSABLE.test(code) || /pg-boss (?:is not installed|database requires migrations)/.test(message)) {
    const hint = 'gantry-fleet init, as the owner of the database, makes and updates what it needs, and adds nodes.';
    return new GantryError('QUEUE_UNUSABLE', { message: `cannot use the queue of the fleet: ${message}`, hint, cause: error });
  }
  if (UNAVAILABLE.test(code) || NETWORK.test(code) || /^(?:Connection terminated|timeout e)/.test(message)) {
    const hint = 'Exports that run go on. It is tried again.';
    return new GantryError('QUEUE_UNAVAILABLE', { message: `cannot reach the queue of the fleet: ${message}`, hint, cause: error });
  }
  return error;
}

function codeOf(error: Error): string {
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
  return first instanceof Error && 'code' in first && typeof first.code === 'string' ? first.code : '';
}
