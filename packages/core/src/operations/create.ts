import { beginRun } from '../flow/session.ts';
import { chooseOs } from '../flow/choose-os.ts';
import { inspectDisks } from '../disks/inspect-disks.ts';
import { withFirstError } from '../report/first-error.ts';
import { createReporter } from '../report/reporter.ts';
import { checkParameters } from '../scripts/parameters.ts';
import { runCreateScript } from '../scripts/script.ts';
import { runAndFlush } from '../flow/run-and-flush.ts';
import { scriptHooks } from '../flow/script-hooks.ts';
import type { TargetRequest } from '../flow/target-use.ts';
import { assertTargetsUnused } from '../flow/target-use.ts';

export interface CreateRequest extends TargetRequest {
  /** Reinstalls an existing instance: the script gets `INSTANCE_REINSTALL=1`. */
  readonly reinstall?: boolean | undefined;
}

/**
 * Installs an instance with the `create` script of its OS definition. Its disks may be overwritten. Resolves when what the script wrote is
 * durable.
 *
 * @throws GantryError, or the reason of the signal
 */
export function createInstance(request: CreateRequest): Promise<void> {
  return withFirstError(() => runCreate(request));
}

async function runCreate(request: CreateRequest): Promise<void> {
  const signal = request.signal ?? new AbortController().signal;
  const reporter = createReporter('create', request.onEvent);
  const os = await chooseOs(request.instance, 'create', request);
  const inspected = await inspectDisks(request.instance, { purpose: 'create', signal });
  for (const { message, disk } of inspected.warnings) reporter.warn(message, disk);

  const { instance } = inspected;
  const disks = [...instance.disks.keys()];
  await using run = await beginRun({ instance, disks, diskLock: 'exclusive', stateDirectory: request.stateDirectory, reporter, signal });
  const hooks = { run, reporter, signal, debug: request.debug };
  await checkParameters(os, instance, scriptHooks('verify', hooks));
  await assertTargetsUnused(instance, disks, { force: request.forceInUse === true, guard: request.guard, reporter, signal });
  reporter.stage(`${request.reinstall === true ? 'reinstalling' : 'installing'} ${instance.name} with ${os.fullName}`);
  await runAndFlush(instance, disks, () =>
    runCreateScript(os, { ...scriptHooks('create', hooks), instance, reinstall: request.reinstall }),
  );
}
