import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { command } from '../disks/command.ts';
import { makeTemporaryDirectory } from '../disks/temporary-directory.ts';
import { EnteredSystem } from '../processes/entered-system.ts';
import { Namespaces } from '../processes/namespaces.ts';

/** The same from src and from dist. */
const script = (name: string): string => fileURLToPath(new URL(`../../src/roots/${name}`, import.meta.url));

export interface FreshRootOptions {
  /** Start its systemd, in a network of its own; otherwise nothing runs there, and it is on the network of the host. */
  readonly boot?: boolean | undefined;
  /** Host directories that it sees under the same path, read-only. */
  readonly shares?: readonly string[];
}

/** A Debian with apt, `ssh` and `sshd`, systemd with logind, cron, and little else. */
export class FreshRoot extends EnteredSystem implements AsyncDisposable {
  readonly #owned: AsyncDisposable;

  /** @param owned what ends it */
  constructor(pid: number, owned: AsyncDisposable) {
    super(pid);
    this.#owned = owned;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned[Symbol.asyncDispose]();
  }
}

/**
 * Starts one at once; the tree that all start from is made first if it does not exist (a minute), in `$XDG_CACHE_HOME/gantry/roots`, by
 * default below `/var/cache`. What is written there is in memory, and ends with this process. Needs root.
 */
export async function startFreshRoot({ boot = false, shares = [] }: FreshRootOptions = {}): Promise<FreshRoot> {
  const tree = await command(script('make-root.sh'));
  await using scope = new AsyncDisposableStack();
  const scratch = scope.use(await makeTemporaryDirectory('gantry-root-'));
  await mkdir(scratch.file('work'));
  const line = [script('hold-root.sh'), boot ? 'boot' : 'hold', tree, scratch.file('work'), ...shares];
  if (boot) scope.defer(() => removeControlGroups(basename(scratch.path)));
  const alone = boot ? ['--net', '--uts', '--ipc'] : [];
  const namespaces = scope.use(new Namespaces({ what: 'the root', alone, line, log: scratch.file('log') }));
  await namespaces.ready();
  return new FreshRoot(await namespaces.firstProcess(), scope.move());
}

/** All that systemd made, the innermost first; its processes have ended. */
async function removeControlGroups(name: string): Promise<void> {
  const mounted = await command('findmnt', '--noheadings', '--first-only', '--types', 'cgroup2', '--output', 'TARGET');
  await command('find', join(mounted, name), '-depth', '-type', 'd', '-exec', 'rmdir', '{}', '+');
}
