import type { BigIntStats } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';

import { execa } from 'execa';

import { sha256File } from './measure.ts';

export interface CompareOptions {
  /** Paths to ignore, relative to the roots, such as `lost+found`; `.` is the root directory itself without its contents. */
  readonly ignore?: readonly string[];
}

/**
 * Compares two directory trees: names, kinds, modes, owners, modification times in seconds, link targets, hard links, device numbers,
 * sizes, content and extended attributes. @returns one line for each difference
 */
export async function compareTrees(a: string, b: string, options: CompareOptions = {}): Promise<readonly string[]> {
  const ignore = new Set(options.ignore);
  const [left, right] = [await describeTree(a, ignore), await describeTree(b, ignore)];
  const paths = [...new Set([...left.keys(), ...right.keys()])].sort();
  return paths.flatMap((path) => {
    const [one, other] = [left.get(path), right.get(path)];
    if (one === undefined) return [`${path}: only in ${b}`];
    if (other === undefined) return [`${path}: only in ${a}`];
    return one.flatMap((fact, index) => (fact === other[index] ? [] : [`${path}: ${fact} and ${other[index] ?? 'nothing'}`]));
  });
}

/** The facts to compare for every path, always in the same order. */
async function describeTree(root: string, ignore: ReadonlySet<string>): Promise<Map<string, string[]>> {
  const attributes = await extendedAttributes(root);
  const found = new Map<string, string[]>();
  const firstOfInode = new Map<bigint, string>();

  const visit = async (path: string): Promise<void> => {
    const full = join(root, path);
    const stats = await lstat(full, { bigint: true });
    const first = firstOfInode.get(stats.ino) ?? path;
    firstOfInode.set(stats.ino, first);
    if (!ignore.has(path)) {
      found.set(path, [...facts(stats), `same file as ${first}`, await content(full, stats), attributes.get(path) ?? 'no attributes']);
    }
    if (!stats.isDirectory()) return;
    for (const name of (await readdir(full)).sort()) {
      const below = path === '.' ? name : `${path}/${name}`;
      if (!ignore.has(below)) await visit(below);
    }
  };

  await visit('.');
  return found;
}

function facts(stats: BigIntStats): string[] {
  // A directory's size depends on the file system.
  const size = stats.isDirectory() ? 'any' : String(stats.size);
  return [
    `mode ${stats.mode.toString(8)}`,
    `owner ${String(stats.uid)}:${String(stats.gid)}`,
    `mtime ${String(stats.mtimeNs / 1_000_000_000n)}`,
    `size ${size}`,
    `device ${stats.isBlockDevice() || stats.isCharacterDevice() ? String(stats.rdev) : 'none'}`,
  ];
}

async function content(path: string, stats: BigIntStats): Promise<string> {
  if (stats.isFile()) return `content ${await sha256File(path)}`;
  if (stats.isSymbolicLink()) return `target ${await readlink(path)}`;
  return 'no content';
}

/** The output of getfattr by path. It escapes odd bytes in names; the paths are unescaped here. */
async function extendedAttributes(root: string): Promise<Map<string, string>> {
  const { stdout } = await execa('getfattr', ['-R', '-P', '-h', '-d', '-m', '-', '-e', 'hex', '.'], { cwd: root });
  const found = new Map<string, string>();
  for (const block of stdout.split('\n\n')) {
    const [head, ...lines] = block.split('\n');
    if (head?.startsWith('# file: ') !== true) continue;
    const name = head
      .slice('# file: '.length)
      .replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCodePoint(Number.parseInt(octal, 8)));
    found.set(
      name.replace(/^\.\//, ''),
      `attributes ${lines
        .filter((line) => line !== '')
        .sort()
        .join(' ')}`,
    );
  }
  return found;
}
