import { execa } from 'execa';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';

export interface GuestInitrdOptions {
  /** Of {@link machineImage}. */
  readonly image: string;
  /** A directory of the test's own; the initrd is made in it. */
  readonly directory: string;
  /** The first process of the guest: a script for busybox. */
  readonly init: string;
  /** Modules of the cloud kernel that it needs besides those for virtio disks, in the order in which they are loaded, such as `drivers/acpi/button`. */
  readonly modules?: readonly string[];
  /** Programs of this machine that it has under the same paths, with their libraries. */
  readonly programs?: readonly string[];
}

/**
 * The image's initrd with another first process: the kernel unpacks archives that follow each other, and later files win.
 * @returns its path
 */
export async function makeGuestInitrd({ image, directory, init, modules = [], programs = [] }: GuestInitrdOptions): Promise<string> {
  const tree = join(directory, 'initrd');
  await mkdir(join(tree, 'modules'), { recursive: true });
  await copyFile(init, join(tree, 'init'));
  const files = ['init'];
  if (modules.length > 0) files.push(...(await addModules(image, tree, modules)));
  files.push(...(await addPrograms(tree, programs)));
  const input = files.map((file) => `${file}\n`).join('');
  const { stdout } = await execa('cpio', ['--quiet', '-o', '-H', 'newc', '-R', '0:0'], { cwd: tree, input, encoding: 'buffer' });
  const initrd = join(directory, 'initrd.gz');
  await writeFile(initrd, Buffer.concat([await readFile(join(image, 'initrd.gz')), gzipSync(stdout)]));
  return initrd;
}

/** @returns what was added: directories before what is in them, as the kernel unpacks them */
async function addPrograms(tree: string, programs: readonly string[]): Promise<readonly string[]> {
  const paths = new Set(programs);
  for (const program of programs) {
    const { stdout } = await execa('ldd', [program]);
    for (const [, path = ''] of stdout.matchAll(/(\/\S+) \(0x/g)) paths.add(path);
  }
  const added = new Set<string>();
  for (const path of paths) {
    const parts = path.split('/').slice(1);
    await mkdir(join(tree, dirname(path)), { recursive: true });
    // Links are followed: the copy has the name that is looked for.
    await copyFile(path, join(tree, path));
    for (const index of parts.keys()) added.add(parts.slice(0, index + 1).join('/'));
  }
  return [...added];
}

/** Takes modules from the image's root file system, which has all of them, and adds them to the list that the initrd has. */
async function addModules(image: string, tree: string, modules: readonly string[]): Promise<readonly string[]> {
  const root = join(image, 'root.ext4');
  const { stdout: versions } = await execa('debugfs', ['-R', 'ls -p /lib/modules', root]);
  const version = /\/([^/]+-cloud-amd64)\//.exec(versions)?.[1] ?? '';
  const { stdout: list } = await execa('cpio', ['--quiet', '-i', '--to-stdout', 'modules/list', './modules/list'], {
    input: (await execa('gzip', ['-dc', join(image, 'initrd.gz')], { encoding: 'buffer' })).stdout,
  });
  const names = modules.map((module) => `${module.split('/').at(-1)}.ko`);
  for (const [index, name] of names.entries())
    await execa('debugfs', ['-R', `dump /lib/modules/${version}/kernel/${modules[index]}.ko ${join(tree, 'modules', name)}`, root]);
  await writeFile(join(tree, 'modules/list'), [...list.split('\n').filter((line) => line !== ''), ...names, ''].join('\n'));
  return ['modules/list', ...names.map((name) => `modules/${name}`)];
}
