import { beginRun } from '../flow/session.ts';
import { chooseOs } from '../flow/choose-os.ts';
import { GantryError } from '../report/errors.ts';
import { withFirstError } from '../report/first-error.ts';
import { hostName } from '../instances/field-types.ts';
import { inspectDisks } from '../disks/inspect-disks.ts';
import { createReporter } from '../report/reporter.ts';
import { checkParameters } from '../scripts/parameters.ts';
import { runRenameScript } from '../scripts/script.ts';
import { runAndFlush } from '../flow/run-and-flush.ts';
import { scriptHooks } from '../flow/script-hooks.ts';
import type { TargetRequest } from '../flow/target-use.ts';
import { assertTargetsUnused } from '../flow/target-use.ts';

export interface RenameRequest extends TargetRequest {
  /** What the instance, which has its old name, is called from now on. */
  readonly newName: string;
}

/**
 * Gives the installed system its new name, with the `rename` script of its OS definition. Resolves when what the script wrote is durable.
 *
 * @throws GantryError, or the reason of the signal
 */
export function renameInstance(request: RenameRequest): Promise<void> {
  return withFirstError(() => runRename(request));
}

async function runRename(request: RenameRequest): Promise<void> {
  const { newName } = request;
  const signal = request.signal ?? new AbortController().signal;
  const reporter = createReporter('rename', request.onEvent);
  if (!hostName.safeParse(newName).success) {
    throw new GantryError('USAGE', {
      message: `${JSON.stringify(newName)} is not a valid host name`,
      hint: 'Give a name such as web2.example.com.',
    });
  }
  const os = await chooseOs(request.instance, 'rename', request);
  const { instance, warnings } = await inspectDisks(request.instance, { purpose: 'create', signal });
  for (const { message, disk } of warnings) reporter.warn(message, disk);

  const disks = [...instance.disks.keys()];
  await using run = await beginRun({ instance, disks, diskLock: 'exclusive', stateDirectory: request.stateDirectory, reporter, signal });
  const hooks = { run, reporter, signal, debug: request.debug };
  await checkParameters(os, instance, scriptHooks('verify', hooks));
  await assertTargetsUnused(instance, disks, { force: request.forceInUse === true, guard: request.guard, reporter, signal });
  reporter.stage(`renaming ${instance.name} to ${newName}`);
  await runAndFlush(instance, disks, () => runRenameScript(os, { ...scriptHooks('rename', hooks), instance, newName }));
}
