import { once } from 'node:events';
import process from 'node:process';
import { createInterface } from 'node:readline';
import type { ConsentOptions, PlanCheck, WritePlan } from '@gantry/core';
import { orAbort } from '@gantry/transport';
import { describeChecks, describePlan } from './output/plan.ts';
import type { Session } from './session.ts';

/** Options of commands that overwrite the disks of an instance. */
export interface ConsentFlags {
  readonly yes: true | undefined;
  readonly dryRun: true | undefined;
}

/** Where consent to overwrite disks comes from: an option, the environment, or the user at the terminal. */
export function consentOf(session: Session, { yes, dryRun }: ConsentFlags): ConsentOptions {
  return {
    yes: yes === true || saysYes(session.env['GANTRY_YES']),
    dryRun: dryRun === true,
    ask: hasUser(session) ? (plan, { signal }) => ask(session, plan, signal) : undefined,
  };
}

/** Whether there is a person at the terminal to ask. */
export function hasUser(session: Session): boolean {
  return process.stdin.isTTY && process.stderr.isTTY && !session.json;
}

/** The result of a dry run. Without --quiet the plan has been shown already. */
export function describeDryRun({ quiet }: Session, plan: WritePlan, checks: readonly PlanCheck[] = []): readonly string[] {
  return [...describeChecks(checks), ...(quiet ? describePlan(plan) : []), 'dry run: nothing was written'];
}

function saysYes(value: string | undefined): boolean {
  return value !== undefined && ['1', 'yes', 'true'].includes(value.toLowerCase());
}

async function ask(session: Session, plan: WritePlan, signal: AbortSignal): Promise<boolean> {
  // With --quiet the plan has not been shown yet.
  if (session.quiet) session.output.ask(describePlan(plan));
  const count = plan.disks.length === 1 ? 'this disk' : `these ${plan.disks.length} disks`;
  const what = plan.disks.every(({ action }) => action === 'create') ? 'Create' : 'Overwrite';
  return await askUser(session, `${what} ${count} of ${plan.into}?`, signal);
}

/** Asks the person at the terminal. @throws the reason of the signal */
export async function askUser(session: Session, question: string, signal: AbortSignal): Promise<boolean> {
  session.output.ask(`${question} (yes or no)`);
  // readline must not take over the terminal: Ctrl-C has to stay a signal, as everywhere else.
  using lines = createInterface({ input: process.stdin, terminal: false });
  const answer = Promise.race([once(lines, 'line').then(([line]: unknown[]) => String(line)), once(lines, 'close').then(() => '')]);
  return ['y', 'yes'].includes((await orAbort(answer, signal)).trim().toLowerCase());
}
