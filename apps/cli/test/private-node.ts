import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import process from 'node:process';
import type { SshServer } from '@gantry/testkit';
import { makeTemporaryDirectory, OWN_MOUNTS, startSshServer } from '@gantry/testkit';
import { execa } from 'execa';
import { MAIN } from './workbench.ts';

/**
 * A machine as far as its files go: a mount namespace whose configuration, home, disks and state are its own. So the commands of a page
 * run with the paths that the page has, and leave nothing.
 */
export interface PrivateNode extends AsyncDisposable {
  /** Runs a script of bash as root, with `gantry` on the PATH. @returns what it printed; rejects where a command of it fails */
  readonly run: (script: string) => Promise<string>;
  /** Makes another node reachable by a name, over SSH. */
  readonly connect: (name: string, to: PrivateNode) => Promise<void>;
  /** Started by the first node that connects to it. */
  readonly server: () => Promise<SshServer>;
}

/** What is the node's own, above what the machine has there. */
const OWN = ['/etc', '/root', '/srv', '/usr/local', '/var/lib'];

const SET_UP = `
set -e
own=$1/own command=$1/gantry
mount -t tmpfs tmpfs "$own"
shift
for directory; do
  mkdir -p "$own/upper$directory" "$own/work$directory"
  mount -t overlay overlay -o "lowerdir=$directory,upperdir=$own/upper$directory,workdir=$own/work$directory" "$directory"
done
install -m 755 "$command" /usr/local/bin/gantry
rm -rf /etc/gantry /var/lib/gantry /var/lib/ganeti/export
mkdir -p -m 700 /root/.ssh
: > /root/.ssh/config
echo ready
read -r _
`;

/** Makes one. Needs root. */
export async function makePrivateNode(): Promise<PrivateNode> {
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await makeTemporaryDirectory());
  await mkdir(directory.file('own'));
  await writeFile(directory.file('gantry'), `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`);
  const unshare = ['--pdeathsig', 'KILL', 'unshare', ...OWN_MOUNTS, 'bash', '-c', SET_UP, 'node', directory.path];
  const child = spawn('setpriv', [...unshare, ...OWN], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  scope.defer(async () => {
    child.stdin.end();
    await ended;
  });
  const isReady = await Promise.race([once(child.stdout, 'data').then(() => true), ended.then(() => false)]);
  if (!isReady || child.pid === undefined) throw new Error('cannot make a mount namespace with overlays');

  const within = [`--mount=/proc/${child.pid}/ns/mnt`, '--wd=/root'];
  const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
  const run = async (script: string): Promise<string> => {
    const { stdout } = await execa('nsenter', [...within, 'bash', '-eu', '-o', 'pipefail', '-c', script], {
      extendEnv: false,
      env: { HOME: '/root', PATH: path, LC_ALL: 'C.UTF-8' },
      stdin: 'ignore',
    });
    return stdout;
  };
  let started: Promise<SshServer> | undefined;
  const server = async (): Promise<SshServer> => {
    started ??= startSshServer({ enter: ['nsenter', ...within], config: [`SetEnv SHLVL=1 PATH=${path}`] });
    return await started;
  };
  scope.defer(async () => {
    await (await started)?.[Symbol.asyncDispose]();
  });
  const owned = scope.move();
  return {
    run,
    server,
    connect: async (name, to) => {
      const { port, identityFile, knownHostsFile } = await to.server();
      const lines = [
        'HostName 127.0.0.1',
        `Port ${port}`,
        `IdentityFile ${identityFile}`,
        'IdentitiesOnly yes',
        `UserKnownHostsFile ${knownHostsFile}`,
      ];
      await run(`cat >> /root/.ssh/config <<'END'\nHost ${name}\n  User root\n  ${lines.join('\n  ')}\nEND`);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Instances with one disk each, of 64 MiB, of which some is data. */
export async function makeInstances(on: PrivateNode, ...names: readonly string[]): Promise<void> {
  await on.run('mkdir -p /etc/gantry/instances /srv/disks');
  for (const name of names) {
    await on.run(`
      truncate --size 64M /srv/disks/${name}-0.img
      head -c 3000000 /dev/urandom | dd of=/srv/disks/${name}-0.img bs=1M seek=5 conv=notrunc status=none
      printf 'name: ${name}.example.com\\nos: raw\\nhypervisor: kvm\\ndisks:\\n  - path: /srv/disks/${name}-0.img\\n' >/etc/gantry/instances/${name}.yaml`);
  }
}

/** Of the first disks of all of them, as sha256sum prints them. */
export async function digests(on: PrivateNode): Promise<string> {
  return await on.run('sha256sum /srv/disks/*-0.img');
}
