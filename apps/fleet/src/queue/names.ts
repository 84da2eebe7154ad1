import { GantryError } from '@gantry/core';

/** The schema of pg-boss, which it alone changes. */
export const JOBS_SCHEMA = 'gantry_jobs';
/** The schema of what a fleet keeps beside it. */
export const FLEET_SCHEMA = 'gantry_fleet';

const ROLE_PREFIX = 'gantry-node-';
const QUEUE_PREFIX = 'export/';
const TOKEN_PREFIX = 'token/';
/** PostgreSQL cuts names off after 63 bytes: two nodes could have one role. */
const MAX_NODE_NAME_BYTES = 63 - ROLE_PREFIX.length;
const NODE_NAME = /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/;

/** The queue of a node's exports. */
export function queueOf(node: string): string {
  return `${QUEUE_PREFIX}${node}`;
}

/** The queue of the tokens of a store. */
export function tokenQueueOf(store: string): string {
  return `${TOKEN_PREFIX}${store}`;
}

/** What a store's tokens for restores alone are under; no name of a store has a slash. */
export function keptForRestores(store: string): string {
  return `${store}/restore`;
}

const SEGMENT_PREFIX = 'segment.';

/** What the limit of a network segment is under, among those of stores; no name of a store has a dot. */
export function segmentKey(segment: string): string {
  return `${SEGMENT_PREFIX}${segment}`;
}

export function isSegment(limited: string): boolean {
  return limited.startsWith(SEGMENT_PREFIX);
}

/** A store or a segment in words. */
export function limitedText(limited: string): string {
  return isSegment(limited) ? `segment ${limited.slice(SEGMENT_PREFIX.length)}` : limited;
}

/** The role of PostgreSQL with which the agent of a node connects. */
export function roleOf(node: string): string {
  return `${ROLE_PREFIX}${node}`;
}

/** The role of PostgreSQL that may read everything and change nothing: that of the pages. */
export const READER_ROLE = 'gantry-reader';

/** SQL for the queue of the role that asks; nothing for a role that is not one of a node. */
export const OWN_QUEUE_SQL: string = ofOwnRole(`'${QUEUE_PREFIX}' || `);

/** SQL for queues that all nodes share. */
export const SHARED_QUEUE_SQL: string = `pg_catalog.starts_with(name, '${TOKEN_PREFIX}')`;

/** SQL for the node of the role that asks. */
export const OWN_NODE_SQL: string = ofOwnRole('');

/** With schema and types: a function of the same name in another schema, for the type `name` of `current_user`, would be taken in its place. */
function ofOwnRole(prefix: string): string {
  const role = 'current_user::pg_catalog.text';
  const node = `pg_catalog.substr(${role}, ${ROLE_PREFIX.length + 1})`;
  return `CASE WHEN pg_catalog.starts_with(${role}, '${ROLE_PREFIX}') THEN ${prefix}${node} END`;
}

/** The name of a node as the fleet has it, in small letters. @throws GantryError `USAGE` for what is not the name of a host */
export function nodeName(text: string): string {
  const name = text.toLowerCase();
  if (NODE_NAME.test(name) && name.length <= MAX_NODE_NAME_BYTES) return name;
  const message = `"${text}" is not a valid name of a node`;
  throw new GantryError('USAGE', { message, hint: `A host name of at most ${MAX_NODE_NAME_BYTES} letters, digits, dots and hyphens.` });
}
