import { mkdir, readFile, rmdir } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

/** A control group of its own for one run, so that daemons which leave their parents are counted too (cgroups(7)). */
export interface Cgroup extends AsyncDisposable {
  /** The files to write a process's id to: it and everything that it starts are then counted. */
  readonly procs: readonly string[];
  /** Seconds of processor time so far, user and system. */
  cpuSeconds(): Promise<number>;
  /** Bytes of memory now, without the page cache. */
  anonymousBytes(): Promise<number>;
}

const NAME = `gantry-bench-${process.pid}`;
const V1 = '/sys/fs/cgroup';

/** Makes a control group, of version 2 or 1; undefined if this user may not. */
export async function makeCgroup(): Promise<Cgroup | undefined> {
  return (await tryToMake([`${V1}/${NAME}`], version2)) ?? (await tryToMake([`${V1}/cpuacct/${NAME}`, `${V1}/memory/${NAME}`], version1));
}

type Reader = (directories: readonly string[]) => Pick<Cgroup, 'cpuSeconds' | 'anonymousBytes'>;

async function tryToMake(directories: readonly string[], reader: Reader): Promise<Cgroup | undefined> {
  const made: string[] = [];
  const remove = async (): Promise<void> => {
    for (const directory of made) await removeEmpty(directory);
  };
  try {
    for (const directory of directories) {
      await mkdir(directory);
      made.push(directory);
    }
    const read = reader(directories);
    await read.cpuSeconds();
    await read.anonymousBytes();
    return { procs: directories.map((directory) => `${directory}/cgroup.procs`), ...read, [Symbol.asyncDispose]: remove };
  } catch {
    await remove();
    return undefined;
  }
}

const version2: Reader = ([directory = '']) => ({
  cpuSeconds: async () => (await field(`${directory}/cpu.stat`, 'usage_usec')) / 1e6,
  anonymousBytes: async () => field(`${directory}/memory.stat`, 'anon'),
});

const version1: Reader = ([cpuacct = '', memory = '']) => ({
  cpuSeconds: async () => Number(await readFile(`${cpuacct}/cpuacct.usage`, 'utf8')) / 1e9,
  anonymousBytes: async () => field(`${memory}/memory.stat`, 'total_rss'),
});

async function field(path: string, name: string): Promise<number> {
  const line = (await readFile(path, 'utf8')).split('\n').find((text) => text.startsWith(`${name} `));
  if (line === undefined) throw new Error(`${path} does not contain ${name}`);
  return Number(line.slice(name.length + 1));
}

/** The kernel releases a group a moment after its last process has ended. */
async function removeEmpty(directory: string): Promise<void> {
  for (let tries = 0; tries < 50; tries += 1) {
    try {
      await rmdir(directory);
      return;
    } catch {
      await delay(20);
    }
  }
}
