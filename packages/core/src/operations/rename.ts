import { chooseOs } from '../flow/choose-os.ts';
import { runAndFlush } from '../flow/run-and-flush.ts';
import { checkSessionParameters, inspectFor, openSession, startCall } from '../flow/session.ts';
import type { TargetRequest } from '../flow/target-use.ts';
import { assertTargetsUnused } from '../flow/target-use.ts';
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
  const call = startCall('rename', request);
  if (!hostName.safeParse(newName).success) {
    throw new GantryError('USAGE', {
      message: `${JSON.stringify(newName)} is not a valid host name`,
      hint: 'Give a name such as web2.example.com.',
    });
  }
  const os = await chooseOs(request.instance, 'rename', request);
  const inspected = await inspectFor(call, request.instance, { purpose: 'create' });
  const disks = [...inspected.instance.disks.keys()];
  await using session = await openSession(call, { os, inspected, disks, diskLock: 'exclusive' });
  const { instance, hooks, reporter } = session;
  await checkSessionParameters(session);
  await assertTargetsUnused(session, request);
  reporter.stage(`renaming ${instance.name} to ${newName}`);
  await runAndFlush(instance, disks, () => runRenameScript(os, { ...hooks('rename'), instance, newName }));
}
