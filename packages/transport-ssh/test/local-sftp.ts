import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { SshChannel, SshEngine } from '../src/engine/channel.ts';

const SFTP_SERVER = '/usr/lib/openssh/sftp-server';

/** An engine whose servers log each request. */
export interface LocalSftp extends SshEngine {
  readonly log: readonly string[];
}

/** An engine whose channels lead to an sftp-server(8) on this machine, without ssh. @param serverOptions further ones, such as `-P copy-data` */
export function localSftp(serverOptions: readonly string[] = []): LocalSftp {
  const log: string[] = [];
  const channels = new Set<SshChannel>();
  return {
    name: 'openssh',
    log,
    openChannel: async () => {
      const channel = startServer(log, serverOptions);
      channels.add(channel);
      return channel;
    },
    [Symbol.asyncDispose]: async () => {
      for (const channel of channels) await channel[Symbol.asyncDispose]();
    },
  };
}

function startServer(log: string[], serverOptions: readonly string[]): SshChannel {
  // It inherits our stdout too, so that its end is awaited with ours: it may still be working when this process was killed.
  const child = spawn(SFTP_SERVER, ['-e', '-l', 'DEBUG3', ...serverOptions], { stdio: ['pipe', 'pipe', 'pipe', 1] });
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
