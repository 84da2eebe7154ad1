import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { GuestControl, RunState } from '@gantry/core/inventory';
import { isSameHost } from '@gantry/core/inventory';

export interface GuestQuery {
  readonly name: string;
  readonly hypervisor: string;
  readonly run: RunState;
  readonly here: string;
  /** Directory of the control sockets of Ganeti's KVM guests. */
  readonly directory: string;
}

/** The QMP socket of a guest that KVM runs on this machine. */
export async function findGuestControl({ name, hypervisor, run, here, directory }: GuestQuery): Promise<GuestControl | undefined> {
  if (hypervisor !== 'kvm' || run.state !== 'running' || !isSameHost(run.node, here)) return undefined;
  const socket = join(directory, `${name}.qmp`);
  const isSocket = await stat(socket).then(
    (stats) => stats.isSocket(),
    () => false,
  );
  return isSocket ? { kind: 'qmp', socket } : undefined;
}
