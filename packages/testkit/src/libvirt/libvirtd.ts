import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { makeTemporaryDirectory } from '../disks/temporary-directory.ts';
import { undoAtExit } from '../disks/undo.ts';
import { OWN_MOUNTS } from '../processes/own-mounts.ts';
import { killOne, processTree } from '../servers/process-tree.ts';

/** A libvirtd of a test, with guests that QEMU emulates (`<domain type='qemu'>`). Nothing of it is seen by a libvirtd of the machine. */
export interface Libvirtd extends AsyncDisposable {
  /** For `virsh --connect` and `LIBVIRT_DEFAULT_URI`, from any process of this machine. */
  readonly uri: string;
  /** Its temporary directory; the disks of guests may be put there. */
  readonly directory: string;
  /** What it and its guests see as `/var/lib/libvirt`. Everything else but `/etc/libvirt`, `/run/libvirt` and the caches is where it says. */
  readonly stateDirectory: string;
  /** A program and its arguments, before those of a command that must see the directories of libvirtd as libvirtd does. */
  readonly enter: readonly string[];
  /** Runs virsh. @returns its output @throws Error with what it said */
  virsh(...args: readonly string[]): Promise<string>;
  /** The QEMU process of a guest that runs, undefined if there is none. */
  guestPid(name: string): Promise<number | undefined>;
  /** SIGKILL for libvirtd alone; its guests go on. */
  kill(): Promise<void>;
  /** SIGSTOP for libvirtd alone: it does not answer until it is killed. */
  stop(): Promise<void>;
  /** Starts it again after {@link kill}. */
  start(): Promise<void>;
}

/** The same from src and from dist. */
const INIT = fileURLToPath(new URL('../../src/libvirt/libvirtd-init.sh', import.meta.url));
/** For libvirtd to accept requests, on a busy machine, ms. */
const START_MS = 60_000;

const QEMU_CONF = `user = "root"
group = "root"
dynamic_ownership = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
`;

const LIBVIRTD_CONF = `auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_rw_perms = "0700"
`;

/**
 * Starts libvirtd, in two seconds on an idle machine. Needs root and the Debian packages libvirt-daemon, libvirt-daemon-driver-qemu and
 * libvirt-clients; for guests qemu-system-x86, and swtpm and swtpm-tools for those with a TPM.
 */
export async function startLibvirtd(): Promise<Libvirtd> {
  const stack = new AsyncDisposableStack();
  try {
    const { path: directory } = stack.use(await makeTemporaryDirectory('gantry-libvirt-'));
    await writeConfiguration(directory);
    const namespaces = stack.use(startNamespaces(directory));
    const libvirtd = new Process(directory, namespaces.child);
    await libvirtd.start();
    return {
      uri: libvirtd.uri,
      directory,
      stateDirectory: join(directory, 'lib'),
      enter: ['nsenter', '--target', String(await libvirtd.firstProcess()), '--mount', '--pid'],
      virsh: (...args) => libvirtd.virsh(args),
      guestPid: (name) => libvirtd.find((words) => words.includes('-name') && words.some((word) => word.startsWith(`guest=${name},`))),
      kill: () => libvirtd.kill(),
      stop: () => libvirtd.stop(),
      start: () => libvirtd.start(),
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

async function writeConfiguration(directory: string): Promise<void> {
  await mkdir(join(directory, 'etc'));
  await writeFile(join(directory, 'etc/qemu.conf'), QEMU_CONF);
  await writeFile(join(directory, 'etc/libvirtd.conf'), `${LIBVIRTD_CONF}host_uuid = "${randomUUID()}"\n`);
}

/** A mount and a process namespace: when their first process ends, the kernel ends every other one, and nothing stays mounted. */
function startNamespaces(directory: string): AsyncDisposable & { readonly child: ChildProcess } {
  const output = openSync(join(directory, 'output'), 'a', 0o600);
  const unshare = ['unshare', ...OWN_MOUNTS, '--pid', '--fork', '--kill-child=KILL', '--mount-proc'];
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...unshare, 'bash', INIT, directory], {
    stdio: ['pipe', output, output],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8' },
  });
  closeSync(output);
  child.stdin?.on('error', () => undefined);
  const ended = new Promise<void>((resolve) => {
    child.once('error', () => resolve());
    child.once('exit', () => resolve());
  });
  const forget = undoAtExit(() => child.kill('SIGKILL'));
  return {
    child,
    async [Symbol.asyncDispose]() {
      const [, first] = child.pid === undefined ? [] : await processTree(child.pid);
      // The kernel gives the end of a first process to its parent when everything in the namespace has ended.
      if (first === undefined) child.kill('SIGKILL');
      else killOne(first);
      await ended;
      forget();
    },
  };
}

class Process {
  readonly uri: string;
  readonly #directory: string;
  readonly #namespaces: ChildProcess;

  constructor(directory: string, namespaces: ChildProcess) {
    this.uri = `qemu+unix:///system?socket=${directory}/run/libvirt-sock`;
    this.#directory = directory;
    this.#namespaces = namespaces;
  }

  async start(): Promise<void> {
    this.#namespaces.stdin?.write('start\n');
    const late = AbortSignal.timeout(START_MS);
    // Asks what QEMU can do too: the answer takes libvirtd a second, the first time.
    while (!(await this.virsh(['version']).then(Boolean, () => false))) {
      if (late.aborted || this.#namespaces.exitCode !== null) throw await this.#notStarted();
      await delay(25);
    }
  }

  async stop(): Promise<void> {
    killOne((await this.#libvirtd()) ?? -1, 'SIGSTOP');
  }

  async kill(): Promise<void> {
    const pid = await this.#libvirtd();
    if (pid === undefined) return;
    killOne(pid);
    while ((await readlink(`/proc/${pid}/exe`).catch(() => '')) !== '') await delay(10);
  }

  #libvirtd(): Promise<number | undefined> {
    return this.find((words) => words[0] === 'libvirtd');
  }

  async virsh(args: readonly string[]): Promise<string> {
    const { stdout } = await execa('virsh', ['--connect', this.uri, '--quiet', ...args], {
      stdin: 'ignore',
      env: { LC_ALL: 'C.UTF-8' },
      timeout: START_MS,
    });
    return stdout;
  }

  /** The bash that is the first process of the namespaces: the child of unshare. */
  async firstProcess(): Promise<number> {
    const [, first] = await processTree(this.#namespaces.pid ?? -1);
    if (first === undefined) throw await this.#notStarted();
    return first;
  }

  /** A process of the namespaces by the words of its command line. */
  async find(isMeant: (words: readonly string[]) => boolean): Promise<number | undefined> {
    for (const pid of await processTree(this.#namespaces.pid ?? -1)) {
      const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
      if (isMeant(words)) return pid;
    }
    return undefined;
  }

  async #notStarted(): Promise<Error> {
    const output = await readFile(join(this.#directory, 'output'), 'utf8');
    return new Error(`libvirtd did not start: ${output.slice(-2000)}`);
  }
}
