import { once } from 'node:events';
import process from 'node:process';
import { createInterface } from 'node:readline';
import type { ConsentOptions, WritePlan } from '@gantry/core';
import { orAbort } from '@gantry/transport';
import { describePlan } from './output/plan.ts';
import type { Session } from './session.ts';

/** Options of commands that overwrite disks of an instance that may be another one. */
export interface ConsentFlags {
  readonly yes: true | undefined;
  readonly dryRun: true | undefined;
}

/** Who says whether disks may be overwritten: an option, the environment, or whoever sits at the terminal. */
export function consentOf(session: Session, { yes, dryRun }: ConsentFlags): ConsentOptions {
  const isTerminal = process.stdin.isTTY && process.stderr.isTTY && !session.json;
  return {
    yes: yes === true || saysYes(session.env['GANTRY_YES']),
    dryRun: dryRun === true,
    ask: isTerminal ? (plan, { signal }) => ask(session, plan, signal) : undefined,
  };
}

/** What came of a dry run. The plan itself was shown as it was made, but for --quiet. */
export function describeDryRun({ quiet }: Session, plan: WritePlan): readonly string[] {
  return [...(quiet ? describePlan(plan) : []), 'dry run: nothing was written'];
}

function saysYes(value: string | undefined): boolean {
  return value !== undefined && ['1', 'yes', 'true'].includes(value.toLowerCase());
}

async function ask(session: Session, plan: WritePlan, signal: AbortSignal): Promise<boolean> {
  // With --quiet nobody has seen yet what is asked about.
  if (session.quiet) session.output.ask(describePlan(plan));
  const count = plan.disks.length === 1 ? 'this disk' : `these ${plan.disks.length} disks`;
  session.output.ask(`Overwrite ${count} of ${plan.into}? (yes or no)`);
  // Not as a terminal of readline's own: Ctrl-C stays the signal that it is everywhere else.
  using lines = createInterface({ input: process.stdin, terminal: false });
  const answer = Promise.race([once(lines, 'line').then(([line]: unknown[]) => String(line)), once(lines, 'close').then(() => '')]);
  return ['y', 'yes'].includes((await orAbort(answer, signal)).trim().toLowerCase());
}
