import type { Dirent, Stats } from 'node:fs';
import type { FileKind, FileInfo } from '@gantry/directory-store';

export function fileInfoOf(stats: Stats): FileInfo {
  const { size, mtime, mode, uid, nlink } = stats;
  return { kind: kindOf(stats), size, modified: mtime, mode: mode & 0o7777, user: uid, links: nlink };
}

export function kindOf(what: Stats | Dirent): FileKind {
  if (what.isFile()) return 'file';
  if (what.isDirectory()) return 'directory';
  return what.isSymbolicLink() ? 'link' : 'other';
}
