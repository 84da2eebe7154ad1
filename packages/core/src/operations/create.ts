import { chooseOs } from '../flow/choose-os.ts';
import { runAndFlush } from '../flow/run-and-flush.ts';
import { checkSessionParameters, inspectFor, openSession, startCall } from '../flow/session.ts';
import type { TargetRequest } from '../flow/target-use.ts';
import { assertTargetsUnused } from '../flow/target-use.ts';
import { withFirstError } from '../report/first-error.ts';
import { runCreateScript } from '../scripts/script.ts';

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
  const call = startCall('create', request);
  const os = await chooseOs(request.instance, 'create', request);
  const inspected = await inspectFor(call, request.instance, { purpose: 'create' });
  const disks = [...inspected.instance.disks.keys()];
  await using session = await openSession(call, { os, inspected, disks, diskLock: 'exclusive' });
  const { instance, hooks, reporter } = session;
  await checkSessionParameters(session);
  await assertTargetsUnused(session, request);
  reporter.stage(`${request.reinstall === true ? 'reinstalling' : 'installing'} ${instance.name} with ${os.fullName}`);
  await runAndFlush(instance, disks, () => runCreateScript(os, { ...hooks('create'), instance, reinstall: request.reinstall }));
}
