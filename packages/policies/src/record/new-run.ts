import { hostname } from 'node:os';
import process from 'node:process';
import { ERROR_EXIT_CODES, TOOL } from '@gantry/core';
import { identifyProcess } from '@gantry/transport';
import { problemOf } from '../problems.ts';
import type { PolicyRun, RunProblem, RunSelection } from './form.ts';

/** A run of this process that begins now. @param selection if it is known before the sources were asked */
export async function newRun(policy: string, selection?: RunSelection): Promise<PolicyRun> {
  return {
    format: 'gantry-policy-run',
    version: 1,
    policy,
    host: hostname(),
    tool: TOOL,
    process: (await identifyProcess(process.pid)) ?? { pid: process.pid, startTime: 0, bootId: '' },
    started: new Date().toISOString(),
    outcome: 'running',
    ...(selection === undefined ? {} : { selection }),
    instances: [],
    stores: [],
    problems: [],
    warnings: [],
  };
}

/** What is said of a run that could not begin. It has no record: another one may be under way. */
export async function runThatDidNotBegin(policy: string, error: unknown, selection?: RunSelection): Promise<PolicyRun> {
  const run = await newRun(policy, selection);
  const problem = problemOf(`policy ${policy}`, error);
  return { ...run, ended: run.started, outcome: 'failed', exitCode: exitCodeOf(problem), problems: [problem] };
}

const EXIT_CODES: Readonly<Record<string, number>> = ERROR_EXIT_CODES;
const INTERNAL_EXIT_CODE = 1;

/** The exit status of a run that failed with that. */
export function exitCodeOf({ code }: RunProblem): number {
  return EXIT_CODES[code] ?? INTERNAL_EXIT_CODE;
}
