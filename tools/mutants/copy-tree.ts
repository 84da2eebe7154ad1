import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { cp, mkdir, readdir, rm, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import process from 'node:process';
import { promisify } from 'node:util';
import { makeRunDirectory } from '../../packages/testkit/src/disks/run-directory.ts';

const run = promisify(execFile);

export interface CopiedTree extends AsyncDisposable {
  readonly path: string;
}

/** What a directory of packages has beside links to them. */
const NOT_PACKAGES: ReadonlySet<string> = new Set(['.pnpm', '.bin', '.cache', '.vite', '.vite-temp', '.turbo']);

/** Copies the repository, with what is not committed, into a temporary directory. Installed packages stay where they are: it links to them. */
export async function copyTree(root: string): Promise<CopiedTree> {
  const path = await makeRunDirectory('gantry-mutants');
  const removeAtExit = (): void => rmSync(path, { recursive: true, force: true });
  process.once('exit', removeAtExit);
  const remove = async (): Promise<void> => {
    await rm(path, { recursive: true, force: true });
    process.off('exit', removeAtExit);
  };
  try {
    const { stdout } = await run('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
      cwd: root,
      maxBuffer: 64 * 1024 * 1024,
    });
    const files = stdout.split('\0').filter((name) => name !== '');
    for (const name of files) {
      await mkdir(join(path, dirname(name)), { recursive: true });
      // A file that was removed, and is still in the index.
      await cp(join(root, name), join(path, name)).catch((error: unknown) => {
        if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
      });
    }
    for (const directory of await packageDirectories(root)) await copyLinks(join(root, directory), join(path, directory));
    for (const name of ['.pnpm', '.bin']) await symlink(join(root, 'node_modules', name), join(path, 'node_modules', name));
    return { path, [Symbol.asyncDispose]: remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** Every `node_modules` of the workspace, relative to its root. */
async function packageDirectories(root: string): Promise<readonly string[]> {
  const { stdout } = await run('git', ['ls-files', '-z', '*package.json'], { cwd: root });
  const homes = stdout.split('\0').filter((name) => basename(name) === 'package.json');
  const all = homes.map((name) => join(dirname(name), 'node_modules'));
  const found = await Promise.all(
    all.map((name) =>
      readdir(join(root, name)).then(
        () => [name],
        () => [],
      ),
    ),
  );
  return found.flat();
}

/** The links of a `node_modules`, which are relative, so that those to packages of the workspace lead to the copies. */
async function copyLinks(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  for (const entry of await readdir(from, { withFileTypes: true })) {
    if (NOT_PACKAGES.has(entry.name)) continue;
    if (entry.isSymbolicLink()) await cp(join(from, entry.name), join(to, entry.name), { verbatimSymlinks: true, recursive: true });
    else if (entry.isDirectory()) await copyLinks(join(from, entry.name), join(to, entry.name));
  }
}
