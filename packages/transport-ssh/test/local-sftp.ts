import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { SshChannel, SshEngine } from '../src/engine/channel.ts';

const SFTP_SERVER = '/usr/lib/openssh/sftp-server';

/** What the servers logged, oldest first: a line for each request, such as `fsync (handle 3)`. */
export interface LocalSftp extends SshEngine {
  readonly log: readonly string[];
}

/** An engine whose channels lead to an sftp-server(8) of this machine, with no ssh between, which logs each request. */
export function localSftp(): LocalSftp {
  const log: string[] = [];
  const channels = new Set<SshChannel>();
  return {
    name: 'openssh',
    log,
    openChannel: async () => {
      const channel = startServer(log);
      channels.add(channel);
      return channel;
    },
    [Symbol.asyncDispose]: async () => {
      for (const channel of channels) await channel[Symbol.asyncDispose]();
    },
  };
}

function startServer(log: string[]): SshChannel {
  // Our own output too, so that whoever waits for its end waits for the server's: it may be at work when this process was killed.
  const child = spawn(SFTP_SERVER, ['-e', '-l', 'DEBUG3'], { stdio: ['pipe', 'pipe', 'pipe', 1] });
  const { stdin, stdout, stderr } = child;
  if (stdin === null || stdout === null || stderr === null) throw new Error('no pipes to the server');
  let rest = '';
  stderr.on('data', (text) => {
    const lines = `${rest}${String(text)}`.split(/\r?\n/);
    rest = lines.pop() ?? '';
    log.push(...lines);
  });
  const closed = once(child, 'close');
  return {
    input: stdin,
    output: stdout,
    release: () => undefined,
    ended: closed.then(([exitCode]) => ({ exitCode, error: undefined, stderr: '' })),
    [Symbol.asyncDispose]: async () => {
      child.kill();
      await closed;
    },
  };
}
