import { runAndFlush } from '../flow/run-and-flush.ts';
import { openTargetSession } from '../flow/target-session.ts';
import type { TargetRequest } from '../flow/target-use.ts';
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
  await using session = await openTargetSession('create', request);
  const { os, instance, disks, hooks, reporter } = session;
  reporter.stage(`${request.reinstall === true ? 'reinstalling' : 'installing'} ${instance.name} with ${os.fullName}`);
  await runAndFlush(instance, disks, () => runCreateScript(os, { ...hooks('create'), instance, reinstall: request.reinstall }));
}
