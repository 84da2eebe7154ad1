import { chooseOs } from './choose-os.ts';
import type { Session } from './session.ts';
import { checkSessionParameters, inspectFor, openSession, startCall } from './session.ts';
import type { TargetRequest } from './target-use.ts';
import { assertTargetsUnused } from './target-use.ts';

/**
 * The session of an operation that runs one script of the definition on all disks of an instance, each of which it may write.
 *
 * @throws GantryError, or the reason of the signal
 */
export async function openTargetSession(operation: 'create' | 'rename', request: TargetRequest): Promise<Session> {
  const call = startCall(operation, request);
  const os = await chooseOs(request.instance, operation, request);
  const inspected = await inspectFor(call, request.instance, { purpose: 'create' });
  const disks = [...inspected.instance.disks.keys()];
  await using scope = new AsyncDisposableStack();
  const session = scope.use(await openSession(call, { os, inspected, disks, diskLock: 'exclusive' }));
  await checkSessionParameters(session);
  await assertTargetsUnused(session, request);
  scope.move();
  return session;
}
