import { readdir, readFile, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceFile, stateDirectoryPath, errorText } from '@gantry/core';
import { isRunning } from '@gantry/transport';
import type { PolicyRun } from './form.ts';
import { policyRunSchema } from './form.ts';

/** How many runs of a policy are kept. */
const MAX_RUNS = 100;
/** More than any run writes; a larger file is not read into memory. */
const MAX_RECORD_BYTES = 64 * 1024 * 1024;
const RECORD = /^\d{8}T\d{9}Z-\d+\.json$/;

/** The directory of the records of a policy. @param stateDirectory as operations get it */
export function policyRunsDirectory(stateDirectory: string | undefined, policy: string): string {
  return join(stateDirectoryPath(stateDirectory), 'policies', policy);
}

/** The name of a record's file: names sort as runs begin. */
function recordName({ started, process }: PolicyRun): string {
  return `${stampOf(started)}-${process.pid}.json`;
}

function stampOf(time: string): string {
  return time.replaceAll(/[-:.]/g, '');
}

/** A run from the future would be the last one until then: the clock was wrong when it began. */
function isOfFuture(name: string): boolean {
  const now = stampOf(new Date().toISOString());
  return name.slice(0, now.length) > now;
}

/** Writes the record of a run in place of an earlier one of the same run, so that readers never see half of it. The directory exists. */
export async function writePolicyRun(directory: string, run: PolicyRun): Promise<void> {
  await replaceFile(join(directory, recordName(run)), `${JSON.stringify(run, undefined, 2)}\n`);
}

/** Removes the oldest records beyond {@link MAX_RUNS}, first those from the future, and what a killed run was writing. To be called by the run that has the lock. */
export async function forgetOldRuns(directory: string): Promise<void> {
  const all = await readdir(directory).catch((): string[] => []);
  const names = newestFirst(all);
  const old = [...names.filter((name) => !isOfFuture(name)), ...names.filter(isOfFuture)].slice(MAX_RUNS);
  const unfinished = all.filter((name) => name.endsWith('.tmp'));
  for (const name of [...old, ...unfinished]) await unlink(join(directory, name)).catch(() => undefined);
}

export interface ReadPolicyRunsOptions {
  /** As operations get it. */
  readonly stateDirectory?: string | undefined;
  /** At most that many, the newest; default: all that are kept. */
  readonly newest?: number | undefined;
  /** Called for a record that cannot be read, and where the records cannot be listed, with why. */
  readonly warn?: ((message: string) => void) | undefined;
}

/**
 * The runs of a policy on this host, newest first; empty if there was none, or where they cannot be listed. Those from the future are left
 * out. One that says `running` although its process is gone is `killed`.
 */
export async function readPolicyRuns(policy: string, options: ReadPolicyRunsOptions = {}): Promise<readonly PolicyRun[]> {
  const directory = policyRunsDirectory(options.stateDirectory, policy);
  const runs: PolicyRun[] = [];
  for (const name of await recordNames(directory, options)) {
    if (runs.length === (options.newest ?? Infinity)) break;
    const run = await readRecord(join(directory, name), options);
    if (run !== undefined) runs.push(await asItIs(run));
  }
  return runs;
}

/** Each run ends those before it, so only these can be killed ones that are not known. */
const MAX_UNENDED_RUNS = 10;

/**
 * Writes of earlier runs that they were killed. To be called by who has the lock of the policy: so each is found once, but for one whose
 * record cannot be written. That is a warning, and so are records that cannot be listed.
 *
 * @returns them, the oldest first
 */
export async function endKilledRuns(policy: string, options: Omit<ReadPolicyRunsOptions, 'newest'> = {}): Promise<readonly PolicyRun[]> {
  const directory = policyRunsDirectory(options.stateDirectory, policy);
  const names = (await recordNames(directory, options)).slice(0, MAX_UNENDED_RUNS);
  const killed: PolicyRun[] = [];
  for (const name of names.toReversed()) {
    const written = await readRecord(join(directory, name), options);
    if (written === undefined || written.outcome !== 'running') continue;
    const run = await asItIs(written);
    if (run.outcome !== 'killed') continue;
    await writePolicyRun(directory, run).catch((error: unknown) => {
      options.warn?.(`cannot write the record of the run that began at ${run.started}: ${errorText(error)}`);
    });
    killed.push(run);
  }
  return killed;
}

/** One that says that it runs, although its process is gone, was killed. */
async function asItIs(run: PolicyRun): Promise<PolicyRun> {
  return run.outcome === 'running' && !(await isRunning(run.process)) ? { ...run, outcome: 'killed' } : run;
}

async function readRecord(path: string, { warn }: ReadPolicyRunsOptions): Promise<PolicyRun | undefined> {
  try {
    const { size } = await stat(path);
    if (size > MAX_RECORD_BYTES) throw new Error(`it is too large: ${size} bytes`);
    const parsed = policyRunSchema.safeParse(JSON.parse(await readFile(path, 'utf8')));
    if (parsed.success) return parsed.data;
    const [issue] = parsed.error.issues;
    throw new Error(`${issue?.path.map(String).join('.') || 'it'}: ${issue?.message}`);
  } catch (error) {
    const reason = error instanceof SyntaxError || !(error instanceof Error) ? 'it is not JSON' : error.message;
    warn?.(`cannot read ${path}, the record of a run: ${reason}`);
    return undefined;
  }
}

/** Newest first, without those from the future. */
async function recordNames(directory: string, { warn }: ReadPolicyRunsOptions): Promise<readonly string[]> {
  try {
    return newestFirst(await readdir(directory)).filter((name) => !isOfFuture(name));
  } catch (error) {
    const reason = errorText(error);
    const isNew = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (!isNew) warn?.(`cannot list ${directory}, the records of runs: ${reason}`);
    return [];
  }
}

function newestFirst(names: readonly string[]): readonly string[] {
  return names.filter((name) => RECORD.test(name)).toSorted((a, b) => (a < b ? 1 : -1));
}
