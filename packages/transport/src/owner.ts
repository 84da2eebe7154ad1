import { createHash } from 'node:crypto';
import { readFile, readlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import process from 'node:process';
import type { ProcessIdentity } from './process-identity.ts';
import { identifyProcess, isRunning } from './process-identity.ts';

/** Who holds a claim or an unfinished write: `alive` and `dead` where that can be told from here, else `unknown`. */
export type OwnerState = 'alive' | 'dead' | 'unknown';

/** A process of any host, as it says of itself. */
export interface HostProcess extends ProcessIdentity {
  readonly host: string;
  /** Tells hosts of one name apart: made from machine-id(5); empty where there is none. */
  readonly machine: string;
  /** Process numbers count within it (pid_namespaces(7)); empty where that cannot be read. */
  readonly pidNamespace: string;
}

/** This process. */
export async function thisProcess(): Promise<HostProcess> {
  const identity = (await identifyProcess(process.pid)) ?? { pid: process.pid, startTime: 0, bootId: '' };
  return { ...identity, host: hostname(), machine: await machineName(), pidNamespace: await readlink('/proc/self/ns/pid').catch(() => '') };
}

/**
 * Whether a process still runs. Only what is certain is called dead, since what it left is removed then: a process of this very
 * host that is gone, or that ran before the host was started anew.
 */
export async function ownerOf(holder: HostProcess): Promise<OwnerState> {
  const here = await thisProcess();
  if (holder.host !== here.host || holder.machine !== here.machine) return 'unknown';
  if (holder.bootId !== here.bootId) return here.machine === '' ? 'unknown' : 'dead';
  if (holder.pidNamespace !== here.pidNamespace) return 'unknown';
  return (await isRunning(holder)) ? 'alive' : 'dead';
}

/** machine-id(5) asks not to show the id itself to others, and stores are read by others. */
async function machineName(): Promise<string> {
  const id = (await readFile('/etc/machine-id', 'utf8').catch(() => '')).trim();
  return /^[0-9a-f]{32}$/.test(id) ? createHash('sha256').update(`gantry claim ${id}`).digest('hex').slice(0, 32) : '';
}
