import type { HostProcess, OwnerState } from '@gantry/transport';
import { ownerOf, thisProcess } from '@gantry/transport';
import { isJsonObject } from '../json.ts';

/** The owner in the record of an unfinished write. Version 0.1.0 wrote neither machine nor process namespace. */
export type RecordedOwner = Omit<HostProcess, 'machine' | 'pidNamespace'> & Partial<Pick<HostProcess, 'machine' | 'pidNamespace'>>;

/** As {@link ownerOf}. Without the machine, only the boot id distinguishes hosts of the same name: it is unique. */
export async function stateOf(owner: RecordedOwner): Promise<OwnerState> {
  const here = await thisProcess();
  if (owner.machine === undefined && owner.bootId !== here.bootId) return 'unknown';
  return ownerOf({ ...owner, machine: owner.machine ?? here.machine, pidNamespace: owner.pidNamespace ?? here.pidNamespace });
}

export function describeOwner({ host, pid }: RecordedOwner): string {
  return `host ${host}, process ${pid}`;
}

/** On disk the start time is a string, as in version 0.1.0. */
export function ownerDocument(owner: HostProcess): object {
  return { ...owner, startTime: String(owner.startTime) };
}

/** Undefined for an invalid value. */
export function parseOwner(value: unknown): RecordedOwner | undefined {
  if (!isJsonObject(value)) return undefined;
  const { host, bootId, pid, startTime, machine, pidNamespace } = value;
  if (typeof host !== 'string' || typeof bootId !== 'string' || typeof pid !== 'number' || !Number.isSafeInteger(pid)) return undefined;
  if (typeof startTime !== 'string') return undefined;
  const process = { host, bootId, pid, startTime: Number(startTime) };
  return typeof machine === 'string' && typeof pidNamespace === 'string' ? { ...process, machine, pidNamespace } : process;
}
