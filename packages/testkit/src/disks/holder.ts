import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { OWN_MOUNTS } from '../processes/own-mounts.ts';

/** A process that uses a file or device until it is disposed. */
export interface Holder extends AsyncDisposable {
  readonly pid: number;
}

/** Starts a shell that has a file or device open in the given mode. */
export async function holdOpen(path: string, redirection: '<' | '>>' | '<>'): Promise<Holder> {
  return hold('/bin/sh', ['-c', `exec 3${redirection}"$1"; echo ready; read line`, 'sh', path]);
}

/** Starts a shell that mounts a file system in its own mount namespace, invisible to others. Needs root. */
export async function mountInNamespace(device: string, directory: string): Promise<Holder> {
  return hold('unshare', [...OWN_MOUNTS, '/bin/sh', '-c', 'mount "$1" "$2" && echo ready; read line', 'sh', device, directory]);
}

async function hold(program: string, parameters: readonly string[]): Promise<Holder> {
  const child = spawn(program, parameters, { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const ready = await Promise.race([once(child.stdout, 'data').then(() => true), ended.then(() => false)]);
  if (!ready || child.pid === undefined) throw new Error(`${program} ${parameters.join(' ')} did not start`);
  return {
    pid: child.pid,
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await ended;
    },
  };
}
