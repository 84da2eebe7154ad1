import { once } from 'node:events';
import { connect } from 'node:net';

import type { Daemon } from './daemon.ts';
import { startDaemon } from './daemon.ts';

export interface NbdServerOptions {
  /** A directory of the test's own, for the socket and the log. */
  readonly directory: string;
  /** What follows the socket on the command line. */
  readonly args: readonly string[];
}

/** A real NBD server of somebody else's. */
export interface RealNbdServer extends AsyncDisposable {
  /** The unix socket. */
  readonly path: string;
  /** For `nbdinfo`, `nbdcopy`, `qemu-img`: of the default export. */
  readonly uri: string;
  /** SIGKILL. */
  kill(): Promise<void>;
}

let servers = 0;

/** QEMU's own, for several clients, for as long as the test runs. */
export function startQemuNbd({ directory, args }: NbdServerOptions): Promise<RealNbdServer> {
  return start('qemu-nbd', directory, (socket) => ['--persistent', '--shared=8', '--socket', socket, ...args]);
}

/** nbdkit, in the foreground: plugins and filters as its command line has them. */
export function startNbdkit({ directory, args }: NbdServerOptions): Promise<RealNbdServer> {
  return start('nbdkit', directory, (socket) => ['--foreground', '--unix', socket, ...args]);
}

async function start(file: string, directory: string, args: (socket: string) => readonly string[]): Promise<RealNbdServer> {
  servers += 1;
  const path = `${directory}/nbd-${servers}.sock`;
  const daemon: Daemon = await startDaemon({
    file,
    args: args(path),
    log: `${directory}/nbd-${servers}.log`,
    isReady: () => listens(path),
  });
  return {
    path,
    uri: `nbd+unix:///?socket=${path}`,
    kill: () => daemon.kill(),
    [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose](),
  };
}

async function listens(path: string): Promise<boolean> {
  const socket = connect({ path });
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
