import { spawn } from 'node:child_process';
import { once } from 'node:events';

import { execa } from 'execa';

import { makeTemporaryDirectory } from '../disks/temporary-directory.ts';
import { undoAtExit } from '../disks/undo.ts';

export interface SshAgent extends AsyncDisposable {
  /** The value of `SSH_AUTH_SOCK`. */
  readonly socket: string;
}

/** Starts an ssh-agent with the keys of these files, which have no passphrase, in that order. Needs openssh-client. */
export async function startSshAgent(...keyFiles: readonly string[]): Promise<SshAgent> {
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await makeTemporaryDirectory('gantry-agent-'));
  const socket = directory.file('socket');
  const agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: ['ignore', 'pipe', 'ignore'] });
  const exited = once(agent, 'exit');
  const forget = undoAtExit(() => agent.kill('SIGKILL'));
  scope.defer(async () => {
    agent.kill('SIGKILL');
    await exited;
    forget();
  });
  // It prints its socket as soon as it listens.
  await once(agent.stdout, 'data');
  for (const file of keyFiles) await execa('ssh-add', ['-q', file], { env: { SSH_AUTH_SOCK: socket } });
  const owned = scope.move();
  return { socket, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
