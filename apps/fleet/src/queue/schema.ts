import { DAY_SECONDS } from '../days.ts';
import {
  FLEET_SCHEMA as FLEET,
  JOBS_SCHEMA as JOBS,
  OWN_NODE_SQL,
  OWN_QUEUE_SQL,
  READER_ROLE as READER,
  SHARED_QUEUE_SQL,
} from './names.ts';

/** The longest output of an attempt, as text, that a node may write, and that is read. */
export const MAX_OUTPUT_BYTES: number = 64 * 1024;

/**
 * The version of the tables of {@link FLEET_TABLES}, and of what agents find in jobs. Counted up when an agent or a planner of an earlier one
 * would fail with the tables, or take a job for another: 2 has work other than exports, which an agent of version 1 would export.
 */
export const FLEET_VERSION = 2;

/** One lock for all who make or change tables. */
const LOCK = `SELECT pg_advisory_xact_lock(hashtext('${FLEET}'));`;

/*
 * `planned` has what the planner has put into queues. It is beside pg-boss, where a node may change its own jobs: a node that was taken over
 * can lie about its own jobs, but cannot add one that makes the planner leave out that of another node.
 */
export const FLEET_TABLES: string = `
  ${LOCK}
  CREATE SCHEMA IF NOT EXISTS ${FLEET};
  CREATE TABLE IF NOT EXISTS ${FLEET}.version (version int NOT NULL);
  INSERT INTO ${FLEET}.version SELECT ${FLEET_VERSION} WHERE NOT EXISTS (SELECT FROM ${FLEET}.version);
  UPDATE ${FLEET}.version SET version = ${FLEET_VERSION} WHERE version < ${FLEET_VERSION};
  CREATE TABLE IF NOT EXISTS ${FLEET}.node (
    name text PRIMARY KEY,
    added_on timestamptz NOT NULL DEFAULT now()
  );
  CREATE TABLE IF NOT EXISTS ${FLEET}.planned (
    id uuid NOT NULL,
    node text NOT NULL REFERENCES ${FLEET}.node (name),
    policy text NOT NULL,
    instance text NOT NULL,
    window_begin timestamptz,
    window_end timestamptz,
    planned_on timestamptz NOT NULL DEFAULT now(),
    dropped boolean NOT NULL DEFAULT false,
    redriven boolean NOT NULL DEFAULT false,
    PRIMARY KEY (id, node)
  );
  ALTER TABLE ${FLEET}.planned ADD COLUMN IF NOT EXISTS work text;
  ALTER TABLE ${FLEET}.planned ADD COLUMN IF NOT EXISTS dry_run boolean NOT NULL DEFAULT false;
  CREATE INDEX IF NOT EXISTS planned_on ON ${FLEET}.planned (planned_on);
  CREATE TABLE IF NOT EXISTS ${FLEET}.finding (
    kind text NOT NULL,
    id uuid NOT NULL,
    policy text NOT NULL,
    instance text NOT NULL,
    node text NOT NULL,
    window_begin timestamptz NOT NULL,
    window_end timestamptz NOT NULL,
    reason text NOT NULL,
    found_on timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, id)
  );
  ALTER TABLE ${FLEET}.finding ADD COLUMN IF NOT EXISTS work text;
  CREATE INDEX IF NOT EXISTS planned_instance ON ${FLEET}.planned (instance);
  CREATE TABLE IF NOT EXISTS ${FLEET}.turn (
    planner text PRIMARY KEY,
    tried_on timestamptz NOT NULL,
    planned_on timestamptz,
    problems jsonb NOT NULL,
    failure text
  );
  CREATE TABLE IF NOT EXISTS ${FLEET}.selected (
    policy text NOT NULL,
    instance text NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (policy, instance)
  );
  CREATE TABLE IF NOT EXISTS ${FLEET}.store_limit (
    store text PRIMARY KEY,
    at_once int NOT NULL CHECK (at_once > 0)
  );
  ALTER TABLE ${FLEET}.store_limit ADD COLUMN IF NOT EXISTS bytes_per_second bigint;
  ALTER TABLE ${FLEET}.store_limit ADD COLUMN IF NOT EXISTS nodes text[];
  CREATE TABLE IF NOT EXISTS ${FLEET}.pause (
    node text PRIMARY KEY,
    since timestamptz NOT NULL DEFAULT now()
  );
`;

/** The role whose rights all nodes have. */
const NODES = 'gantry_nodes';

/** The largest number that pg-boss can still count up. */
const MAX_COUNT = 1_000_000_000;

function isTime(column: string): string {
  // Not infinite, and far enough from the ends of what PostgreSQL has that times can be added.
  return `(${column} IS NULL OR ${column} BETWEEN timestamptz '2000-01-01 00:00+00' AND timestamptz '2200-01-01 00:00+00')`;
}

/** Nothing that the owner's maintenance would copy into another queue, or that makes it wait. */
const IS_ALONE = `dead_letter IS NULL AND source_id IS NULL AND source_name IS NULL AND NOT blocked AND NOT blocking AND pending_dependencies = 0`;

/**
 * What the owner's maintenance and the planner can calculate with: one row with which they fail would stop them for all nodes. And what they
 * read of it is not long.
 */
const IS_SOUND = [
  ...['start_after', 'created_on', 'started_on', 'completed_on', 'keep_until', 'heartbeat_on', 'source_created_on'].map(isTime),
  'singleton_on IS NULL',
  `retry_limit BETWEEN 0 AND ${MAX_COUNT}`,
  `retry_count BETWEEN 0 AND ${MAX_COUNT}`,
  `retry_delay BETWEEN 0 AND ${DAY_SECONDS}`,
  `coalesce(retry_delay_max, 0) BETWEEN 0 AND ${DAY_SECONDS}`,
  `expire_seconds BETWEEN 1 AND ${DAY_SECONDS}`,
  `coalesce(heartbeat_seconds, 1) BETWEEN 1 AND ${DAY_SECONDS}`,
  `deletion_seconds BETWEEN 0 AND ${3650 * DAY_SECONDS}`,
  `(output IS NULL OR pg_catalog.octet_length(output::text) <= ${MAX_OUTPUT_BYTES})`,
].join(' AND ');

const CHECK = `${IS_ALONE} AND ${IS_SOUND}`;

/**
 * What the roles of nodes, and the one that reads, may do. Nodes use their own jobs and the tokens of stores, and read what pg-boss looks at when it starts; the reader reads all tables. Everything else is denied, by missing
 * rights and by row-level security on every table, partitions of `job` too: what leads past a parent table finds the same rule.
 *
 * A job that a node changes may not name a dead letter queue, or be the source of another one: the owner's maintenance, which no rule binds,
 * would copy it into the queue of another node. Tokens it may hold and give back, but not make, remove, or have its own jobs become, which the
 * right to change a row of two kinds would allow: so nobody changes the name or the id of a row.
 */
export const ROLE_RIGHTS: string = `
  ${LOCK}
  DO $do$
  DECLARE
    place record;
    changeable text;
  BEGIN
    -- Names of rules mean what is in PostgreSQL itself, no matter what has such a name elsewhere, where nodes may make objects.
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog', true);
    IF EXISTS (SELECT FROM pg_namespace WHERE nspname = 'public') THEN
      REVOKE CREATE ON SCHEMA public FROM PUBLIC;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '${NODES}') THEN
      CREATE ROLE ${NODES} NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '${READER}') THEN
      CREATE ROLE "${READER}" LOGIN;
    END IF;
    REVOKE ALL ON SCHEMA ${JOBS}, ${FLEET} FROM PUBLIC, ${NODES}, "${READER}";
    REVOKE ALL ON ALL TABLES IN SCHEMA ${JOBS}, ${FLEET} FROM PUBLIC, ${NODES}, "${READER}";
    REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ${JOBS}, ${FLEET} FROM PUBLIC, ${NODES}, "${READER}";
    GRANT USAGE ON SCHEMA ${JOBS}, ${FLEET} TO ${NODES}, "${READER}";
    GRANT SELECT ON ALL TABLES IN SCHEMA ${JOBS}, ${FLEET} TO "${READER}";
    GRANT EXECUTE ON FUNCTION ${JOBS}.job_now() TO ${NODES};
    GRANT SELECT ON ${JOBS}.version, ${JOBS}.queue, ${FLEET}.version, ${FLEET}.pause TO ${NODES};
    FOR place IN
      SELECT c.oid::regclass AS name, n.nspname AS schema, c.relname AS relation
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname IN ('${JOBS}', '${FLEET}') AND c.relkind IN ('r', 'p')
    LOOP
      EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', place.name);
      EXECUTE format('DROP POLICY IF EXISTS read ON %s', place.name);
      EXECUTE format('CREATE POLICY read ON %s FOR SELECT TO "${READER}" USING (true)', place.name);
    END LOOP;
    FOR place IN
      SELECT '${JOBS}.job'::regclass AS name
      UNION SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = '${JOBS}.job'::regclass
    LOOP
      SELECT string_agg(quote_ident(attname), ', ') INTO changeable FROM pg_attribute
        WHERE attrelid = place.name AND attnum > 0 AND NOT attisdropped AND attname NOT IN ('name', 'id');
      EXECUTE format('GRANT SELECT, INSERT, UPDATE (%s), DELETE ON %s TO ${NODES}', changeable, place.name);
      EXECUTE format('DROP POLICY IF EXISTS own_jobs ON %s', place.name);
      EXECUTE format($policy$
        CREATE POLICY own_jobs ON %s TO ${NODES} USING (name = ${OWN_QUEUE_SQL}) WITH CHECK (name = ${OWN_QUEUE_SQL} AND ${CHECK})
      $policy$, place.name);
      EXECUTE format('DROP POLICY IF EXISTS see_tokens ON %s', place.name);
      EXECUTE format('CREATE POLICY see_tokens ON %s FOR SELECT TO ${NODES} USING (%s)', place.name, $rule$${SHARED_QUEUE_SQL}$rule$);
      EXECUTE format('DROP POLICY IF EXISTS hold_tokens ON %s', place.name);
      EXECUTE format($policy$
        CREATE POLICY hold_tokens ON %s FOR UPDATE TO ${NODES} USING (${SHARED_QUEUE_SQL}) WITH CHECK (${SHARED_QUEUE_SQL} AND ${CHECK})
      $policy$, place.name);
    END LOOP;
    DROP POLICY IF EXISTS own_queue ON ${JOBS}.queue;
    CREATE POLICY own_queue ON ${JOBS}.queue FOR SELECT TO ${NODES} USING (name = ${OWN_QUEUE_SQL} OR ${SHARED_QUEUE_SQL});
    DROP POLICY IF EXISTS version ON ${JOBS}.version;
    CREATE POLICY version ON ${JOBS}.version FOR SELECT TO ${NODES} USING (true);
    DROP POLICY IF EXISTS version ON ${FLEET}.version;
    CREATE POLICY version ON ${FLEET}.version FOR SELECT TO ${NODES} USING (true);
    DROP POLICY IF EXISTS own_pause ON ${FLEET}.pause;
    CREATE POLICY own_pause ON ${FLEET}.pause FOR SELECT TO ${NODES} USING (node = '*' OR node = ${OWN_NODE_SQL});
  END
  $do$;
`;
