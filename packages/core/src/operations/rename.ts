import { runAndFlush } from '../flow/run-and-flush.ts';
import { openTargetSession } from '../flow/target-session.ts';
import type { TargetRequest } from '../flow/target-use.ts';
import { hostName } from '../instances/field-types.ts';
import { GantryError } from '../report/errors.ts';
import { withFirstError } from '../report/first-error.ts';
import { runRenameScript } from '../scripts/script.ts';

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
  if (!hostName.safeParse(newName).success) {
    throw new GantryError('USAGE', {
      message: `${JSON.stringify(newName)} is not a valid host name`,
      hint: 'Give a name such as web2.example.com.',
    });
  }
  await using session = await openTargetSession('rename', request);
  const { os, instance, disks, hooks, reporter } = session;
  reporter.stage(`renaming ${instance.name} to ${newName}`);
  await runAndFlush(instance, disks, () => runRenameScript(os, { ...hooks('rename'), instance, newName }));
}
