import { createHash } from 'node:crypto';
import { readFile, readlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import process from 'node:process';
import type { ProcessIdentity } from './process-identity.ts';
import { identifyProcess, isRunning } from './process-identity.ts';

/** The state of the process that holds a claim or an unfinished write; `unknown` if it cannot be determined from here. */
export type OwnerState = 'alive' | 'dead' | 'unknown';

/** A process on any host, as it describes itself. */
export interface HostProcess extends ProcessIdentity {
  readonly host: string;
  /** Distinguishes hosts of the same name: derived from machine-id(5); empty if there is none. */
  readonly machine: string;
  /** The namespace of its process number (pid_namespaces(7)); empty if it cannot be read. */
  readonly pidNamespace: string;
}

/** This process. */
export async function thisProcess(): Promise<HostProcess> {
  const identity = (await identifyProcess(process.pid)) ?? { pid: process.pid, startTime: 0, bootId: '' };
  return { ...identity, host: hostname(), machine: await machineName(), pidNamespace: await readlink('/proc/self/ns/pid').catch(() => '') };
}

/**
 * Whether a process still runs. `dead` is returned only if it is certain, because its leftovers are then removed: for a process of this
 * host that is gone, or that ran before the last boot.
 */
export async function ownerOf(holder: HostProcess): Promise<OwnerState> {
  const here = await thisProcess();
  if (holder.host !== here.host || holder.machine !== here.machine) return 'unknown';
  if (holder.bootId !== here.bootId) return here.machine === '' ? 'unknown' : 'dead';
  if (holder.pidNamespace !== here.pidNamespace) return 'unknown';
  return (await isRunning(holder)) ? 'alive' : 'dead';
}

/** machine-id(5) asks programs not to disclose the id itself, and others read stores. */
async function machineName(): Promise<string> {
  const id = (await readFile('/etc/machine-id', 'utf8').catch(() => '')).trim();
  return /^[0-9a-f]{32}$/.test(id) ? createHash('sha256').update(`gantry claim ${id}`).digest('hex').slice(0, 32) : '';
}
