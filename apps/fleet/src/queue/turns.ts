import type { Db } from 'pg-boss';
import { z } from 'zod';
import { FLEET_SCHEMA as FLEET } from './names.ts';

/** What a planner could not plan. */
export interface TurnProblem {
  /** The sources, instance or host; what others say of it in other words is the same problem. Empty: of what was left out. */
  readonly about: string;
  /** A line, with what it is about. */
  readonly message: string;
}

/** What became of a turn of a planner. */
export type TurnReport =
  /** What sources, instances and hosts it could not plan. */
  | { readonly problems: readonly TurnProblem[] }
  /** It made no plan, for this reason. */
  | { readonly failure: string };

/** The last turns of the planner of a host. */
export interface PlannerTurn {
  /** Its host. */
  readonly planner: string;
  /** How long ago it planned last, by the clock of the database, seconds; absent if it never did. */
  readonly plannedSecondsAgo?: number | undefined;
  /** Of that plan; at most {@link MAX_PROBLEMS}, and one that says how many there are more. */
  readonly problems: readonly TurnProblem[];
  /** Why a later turn made no plan. */
  readonly failure?: string | undefined;
}

const MAX_PROBLEMS = 100;
const MAX_CHARACTERS = 1000;

const turnProblem: z.ZodType<TurnProblem> = z.union([
  z.object({ about: z.string(), message: z.string() }),
  // As an earlier version noted it.
  z.string().transform((message) => ({ about: message, message })),
]);

const turnRow = z.object({
  planner: z.string(),
  seconds: z.number().nullable(),
  problems: z.array(turnProblem),
  failure: z.string().nullable(),
});

/** The last turns of planners: what tells a fleet that nobody plans for from one that has nothing to do. */
export class Turns {
  readonly #db: Db;

  constructor(db: Db) {
    this.#db = db;
  }

  async note(planner: string, report: TurnReport): Promise<void> {
    if ('failure' in report) {
      const sql = `INSERT INTO ${FLEET}.turn (planner, tried_on, problems, failure) VALUES ($1, now(), '[]', $2)
        ON CONFLICT (planner) DO UPDATE SET tried_on = now(), failure = $2`;
      await this.#db.executeSql(sql, [planner, cut(report.failure)]);
      return;
    }
    const sql = `INSERT INTO ${FLEET}.turn (planner, tried_on, planned_on, problems) VALUES ($1, now(), now(), $2::text::jsonb)
      ON CONFLICT (planner) DO UPDATE SET tried_on = now(), planned_on = now(), problems = $2::text::jsonb, failure = NULL`;
    await this.#db.executeSql(sql, [planner, JSON.stringify(shortened(report.problems))]);
  }

  async all(): Promise<readonly PlannerTurn[]> {
    const { rows } = await this.#db.executeSql(
      `SELECT planner, CASE WHEN planned_on IS NOT NULL THEN greatest(0, extract(epoch FROM now() - planned_on)::float8) END AS seconds, problems, failure FROM ${FLEET}.turn
       ORDER BY planned_on DESC NULLS LAST, planner`,
    );
    return z
      .array(turnRow)
      .parse(rows)
      .map(({ planner, seconds, problems, failure }) => ({
        planner,
        plannedSecondsAgo: seconds ?? undefined,
        problems,
        failure: failure ?? undefined,
      }));
  }

  async forget(before: Date): Promise<void> {
    await this.#db.executeSql(`DELETE FROM ${FLEET}.turn WHERE tried_on < $1`, [before]);
  }
}

function shortened(problems: readonly TurnProblem[]): readonly TurnProblem[] {
  const more = problems.length - MAX_PROBLEMS;
  const first = problems.slice(0, MAX_PROBLEMS).map(({ about, message }) => ({ about: cut(about), message: cut(message) }));
  return [...first, ...(more > 0 ? [{ about: '', message: `and ${more} more` }] : [])];
}

function cut(text: string): string {
  return text.slice(0, MAX_CHARACTERS);
}
