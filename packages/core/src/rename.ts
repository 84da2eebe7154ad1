import { beginRun } from './begin-run.ts';
import { chooseOs } from './choose-os.ts';
import { GantryError } from './errors.ts';
import { hostName } from './instance/field-types.ts';
import { inspectDisks } from './instance/inspect-disks.ts';
import type { Instance } from './instance/model.ts';
import type { OperationOptions } from './operation.ts';
import { createReporter } from './operation.ts';
import { checkParameters } from './os/parameters.ts';
import { runRenameScript } from './os/script.ts';
import { scriptHooks } from './script-hooks.ts';

export interface RenameRequest extends OperationOptions {
  /** The instance under its old name. */
  readonly instance: Instance;
  readonly newName: string;
}

/**
 * Makes the installed system know its new name, with the `rename` script of its OS definition.
 *
 * @throws GantryError, or the reason of the signal
 */
export async function renameInstance(request: RenameRequest): Promise<void> {
  const { newName } = request;
  const signal = request.signal ?? new AbortController().signal;
  const reporter = createReporter('rename', request.onEvent);
  if (!hostName.safeParse(newName).success) {
    throw new GantryError('USAGE', {
      message: `${JSON.stringify(newName)} is not a host name`,
      hint: 'Give the new name as web2.example.com.',
    });
  }
  const os = await chooseOs(request.instance, 'rename', request);
  const { instance, warnings } = await inspectDisks(request.instance, { purpose: 'create', signal });
  for (const { message, disk } of warnings) reporter.warn(message, disk);

  const disks = [...instance.disks.keys()];
  await using run = await beginRun({ instance, disks, diskLock: 'exclusive', stateDirectory: request.stateDirectory, reporter, signal });
  const hooks = { run, reporter, signal, debug: request.debug };
  await checkParameters(os, instance, scriptHooks('verify', hooks));
  reporter.stage(`renaming ${instance.name} to ${newName}`);
  await runRenameScript(os, { ...scriptHooks('rename', hooks), instance, newName });
}
