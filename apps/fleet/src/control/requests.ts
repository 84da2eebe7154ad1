import { z } from 'zod';
import type { FleetQueue } from '../queue/fleet-queue.ts';
import type { DatedFinding, FleetJob, LastGood } from '../queue/records.ts';
import { attemptOutput } from '../queue/form.ts';
import type { RestoreOrder } from '../queue/restore-order.ts';
import { restoreOrder } from '../queue/restore-order.ts';
import type { Selected } from '../queue/selected.ts';
import type { LimitSettings, StoreLimit } from '../queue/store-tokens.ts';
import type { PlannerTurn } from '../queue/turns.ts';

interface OfJob {
  readonly id: string;
  readonly node: string;
}

/** What commands ask of a queue: of that on PostgreSQL directly, of an embedded one through the process that has it. */
export type Request =
  /** `since`: ISO 8601, UTC. */
  | { readonly command: 'status'; readonly since: string }
  | { readonly command: 'good' }
  | { readonly command: 'history'; readonly instance: string; readonly since: string }
  | ({ readonly command: 'run'; readonly policy: string; readonly instance: string; readonly stores: readonly string[] } & OfJob)
  | ({ readonly command: 'restore'; readonly policy: string; readonly instance: string; readonly order: RestoreOrder } & OfJob)
  | ({ readonly command: 'cancel' | 'redrive' } & OfJob)
  | { readonly command: 'pause' | 'resume'; readonly node: string }
  /** `settings` absent: it has no limit any more. */
  | { readonly command: 'limit'; readonly store: string; readonly settings?: LimitSettings | undefined };

const ofJob = { id: z.uuid(), node: z.string() };

const limited = {
  atOnce: z.int().positive(),
  bytesPerSecond: z.number().positive().optional(),
  nodes: z.array(z.string()).optional(),
};
const limitSettings: z.ZodType<LimitSettings> = z.object(limited);

export const request: z.ZodType<Request> = z.union([
  z.object({ command: z.literal('status'), since: z.iso.datetime() }),
  z.object({ command: z.literal('good') }),
  z.object({ command: z.literal('history'), instance: z.string(), since: z.iso.datetime() }),
  z.object({ command: z.literal('run'), policy: z.string(), instance: z.string(), stores: z.array(z.string()), ...ofJob }),
  z.object({ command: z.literal('restore'), policy: z.string(), instance: z.string(), order: restoreOrder, ...ofJob }),
  z.object({ command: z.enum(['cancel', 'redrive']), ...ofJob }),
  z.object({ command: z.enum(['pause', 'resume']), node: z.string() }),
  z.object({ command: z.literal('limit'), store: z.string(), settings: limitSettings.optional() }),
]);

/** What a queue has. */
export interface FleetStatus {
  readonly nodes: readonly string[];
  /** Nodes on which nothing begins; `*`: on all. */
  readonly paused: readonly string[];
  readonly limits: readonly StoreLimit[];
  readonly jobs: readonly FleetJob[];
  readonly findings: readonly DatedFinding[];
  /** Of planners, the newest first. */
  readonly turns: readonly PlannerTurn[];
  /** What policies select, as planners found it last. */
  readonly selected: readonly Selected[];
}

const date = z.coerce.date();

/** The form in which jobs go through a socket. */
export const fleetJobs: z.ZodType<readonly FleetJob[]> = z.array(
  z.object({
    id: z.string(),
    node: z.string(),
    policy: z.string(),
    instance: z.string(),
    work: z.enum(['store', 'restore']).optional(),
    dryRun: z.boolean().optional(),
    begin: date.optional(),
    end: date.optional(),
    state: z.enum(['waiting', 'running', 'done', 'failed', 'cancelled', 'left', 'elsewhere', 'lost']),
    attempts: z.number(),
    startAfter: date.optional(),
    startedOn: date.optional(),
    endedOn: date.optional(),
    output: attemptOutput,
  }),
);

/** The form in which last good exports go through a socket. */
export const lastGoods: z.ZodType<readonly LastGood[]> = z.array(
  z.object({
    policy: z.string(),
    instance: z.string(),
    endedOn: date,
    reference: z.string().optional(),
    plainBytes: z.number().optional(),
  }),
);

/** The form in which it goes through a socket. */
export const fleetStatus: z.ZodType<FleetStatus> = z.object({
  nodes: z.array(z.string()),
  paused: z.array(z.string()),
  limits: z.array(z.object({ store: z.string(), ...limited, held: z.number() })),
  jobs: fleetJobs,
  findings: z.array(
    z.object({
      kind: z.enum(['missed', 'overrun']),
      id: z.string(),
      policy: z.string(),
      instance: z.string(),
      work: z.enum(['store', 'restore']).optional(),
      node: z.string(),
      window: z.object({ begin: date, end: date }),
      reason: z.string(),
      foundOn: date,
    }),
  ),
  selected: z.array(z.object({ policy: z.string(), instance: z.string(), since: date })),
  turns: z.array(
    z.object({
      planner: z.string(),
      plannedSecondsAgo: z.number().optional(),
      problems: z.array(z.object({ about: z.string(), message: z.string() })),
      failure: z.string().optional(),
    }),
  ),
});

/** The answer to what changes something. */
export const outcome: z.ZodType<{ readonly done: boolean }> = z.object({ done: z.boolean() });

/** Does what was asked for. @returns what goes through a socket as JSON @throws GantryError `QUEUE_*` */
export async function answer(queue: FleetQueue, asked: Request): Promise<unknown> {
  switch (asked.command) {
    case 'status': {
      const since = new Date(asked.since);
      const [nodes, paused, jobs, findings] = [
        await queue.nodes(),
        await queue.paused(),
        await queue.jobsAndOpen(since),
        await queue.findings(since),
      ];
      const limits = await queue.tokens((tokens) => tokens.limits());
      return { nodes, paused, limits, jobs, findings, turns: await queue.turns(), selected: await queue.selected() };
    }
    case 'good':
      return await queue.lastGood();
    case 'history':
      return await queue.history(asked.instance, new Date(asked.since));
    case 'run':
      await queue.ask(asked);
      return { done: true };
    case 'restore':
      await queue.restore(asked);
      return { done: true };
    case 'cancel':
      return { done: await queue.cancel(asked) };
    case 'redrive':
      return { done: await queue.redrive(asked) };
    case 'pause':
      await queue.pause(asked.node);
      return { done: true };
    case 'limit':
      await queue.tokens((tokens) => tokens.limit(asked.store, asked.settings));
      return { done: true };
    case 'resume':
      await queue.resume(asked.node);
      return { done: true };
  }
}
