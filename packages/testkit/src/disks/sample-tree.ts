import { chmod, chown, link, lutimes, mkdir, readdir, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { command } from './command.ts';
import { pseudoRandom } from './disk-files.ts';

const FILES_IN_A_DIRECTORY = 100;
/** Some are empty, some end at the end of a block, some just after it. */
const SIZES_BYTES = [0, 1, 100, 4095, 4096, 4097, 20_000, 65_536];
const MODES = [0o644, 0o600, 0o755, 0o400, 0o4755, 0o2750, 0o1777, 0o000];
/** Full seconds, which every archiver and `mkfs.ext4 -d` preserve. */
const FIRST_MTIME_S = 1_100_000_000;

/**
 * Fills an empty directory with `files` ordinary files and one or more of every odd kind: names with spaces, UTF-8, quotes, newlines
 * and leading dashes, symbolic links (relative, absolute, dangling), hard links, modes with setuid and sticky bits, foreign owners,
 * extended attributes, a file with holes, empty and deep directories, a pipe and a device node. Always the same. Needs root and attr.
 */
export async function makeSampleTree(directory: string, files = 200): Promise<void> {
  await makeOrdinaryFiles(directory, files);
  await makeOddNames(join(directory, 'odd names'));
  await makeLinks(join(directory, 'links'));
  await makeSpecialFiles(join(directory, 'special'));
  await setTimes(directory);
}

async function makeOrdinaryFiles(directory: string, files: number): Promise<void> {
  for (let index = 0; index < files; index += 1) {
    const folder = join(directory, `dir${String(Math.floor(index / FILES_IN_A_DIRECTORY))}`);
    if (index % FILES_IN_A_DIRECTORY === 0) await mkdir(folder);
    const path = join(folder, `file${String(index)}`);
    const size = SIZES_BYTES[index % SIZES_BYTES.length] ?? 0;
    await writeFile(path, Buffer.concat([...pseudoRandom(`file${String(index)}`, size)]));
    if (index % 7 === 0) await chown(path, 1000 + (index % 3), 2000 + (index % 5));
    // After chown, which clears setuid and setgid.
    await chmod(path, MODES[index % MODES.length] ?? 0o644);
  }
}

async function makeOddNames(directory: string): Promise<void> {
  await mkdir(directory);
  const names = ['two words', 'größe-日本語-🦀', "it's", '"quoted"', 'new\nline', '-rf', '$HOME', '*', 'back\\slash', ' ', 'x'.repeat(255)];
  for (const name of names) await writeFile(join(directory, name), `${name}\n`);
}

async function makeLinks(directory: string): Promise<void> {
  await mkdir(directory);
  await writeFile(join(directory, 'target'), 'target\n');
  await symlink('target', join(directory, 'relative'));
  await symlink('/etc/hostname', join(directory, 'absolute'));
  await symlink('nowhere', join(directory, 'dangling'));
  await symlink('l'.repeat(200), join(directory, 'long'));
  await link(join(directory, 'target'), join(directory, 'hard'));
  await mkdir(join(directory, 'elsewhere'));
  await link(join(directory, 'target'), join(directory, 'elsewhere', 'hard too'));
}

async function makeSpecialFiles(directory: string): Promise<void> {
  await mkdir(join(directory, 'deep', 'a', 'b', 'c', 'd', 'e', 'f'), { recursive: true });
  await mkdir(join(directory, 'empty'), { mode: 0o1777 });
  await writeFile(join(directory, 'holes'), 'start');
  await truncate(join(directory, 'holes'), 10 * 1024 * 1024);
  await writeFile(join(directory, 'holes'), 'end', { flag: 'a' });
  const attributed = join(directory, 'attributes');
  await writeFile(attributed, 'attributes\n');
  await command('setfattr', '-n', 'user.gantry.text', '-v', 'some words', attributed);
  await command('setfattr', '-n', 'user.gantry.bytes', '-v', '0x00ff00ff', attributed);
  await command('mkfifo', join(directory, 'pipe'));
  await command('mknod', join(directory, 'null'), 'c', '1', '3');
}

/** Sets fixed times from the leaves up, because a directory's own time changes with every entry made in it. */
async function setTimes(directory: string): Promise<void> {
  const entries = await readdir(directory, { withFileTypes: true });
  for (const [index, entry] of entries.sort((a, b) => (a.name < b.name ? -1 : 1)).entries()) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) await setTimes(path);
    await lutimes(path, FIRST_MTIME_S, FIRST_MTIME_S + index * 86_400);
  }
  await utimes(directory, FIRST_MTIME_S, FIRST_MTIME_S);
}
