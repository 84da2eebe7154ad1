import type { Db } from 'pg-boss';
import { z } from 'zod';
import type { Subject } from '../planner/job.ts';
import { FLEET_SCHEMA as FLEET } from './names.ts';

/** An instance that a policy selects. */
export interface Selected extends Subject {
  /** When a planner found it first. */
  readonly since: Date;
}

const selectedRow = z.object({ policy: z.string(), instance: z.string(), since: z.date() });

/** What policies select, as planners found it last: it says what can be late, also of what has had no job for days. */
export class SelectedInstances {
  readonly #db: Db;

  constructor(db: Db) {
    this.#db = db;
  }

  async all(): Promise<readonly Selected[]> {
    const { rows } = await this.#db.executeSql(`SELECT policy, instance, since FROM ${FLEET}.selected ORDER BY policy, instance`);
    return z.array(selectedRow).parse(rows);
  }

  /** Notes what is new, and forgets what is selected no longer. */
  async change(added: readonly Subject[], removed: readonly Subject[]): Promise<void> {
    const given = (subjects: readonly Subject[]): string => JSON.stringify(subjects.map(({ policy, instance }) => ({ policy, instance })));
    const recordset = 'json_to_recordset($1::text::json) AS x (policy text, instance text)';
    if (added.length > 0) {
      const sql = `INSERT INTO ${FLEET}.selected (policy, instance) SELECT policy, instance FROM ${recordset} ON CONFLICT DO NOTHING`;
      await this.#db.executeSql(sql, [given(added)]);
    }
    if (removed.length > 0) {
      const sql = `DELETE FROM ${FLEET}.selected s USING ${recordset} WHERE s.policy = x.policy AND s.instance = x.instance`;
      await this.#db.executeSql(sql, [given(removed)]);
    }
  }
}
