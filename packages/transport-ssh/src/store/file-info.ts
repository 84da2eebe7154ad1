import type { FileKind, FileInfo } from '@gantry/directory-store';
import { FileSystemError } from '@gantry/directory-store';
import type { Attributes } from '../sftp/attributes.ts';
import { isDirectory, isRegularFile, isSymbolicLink } from '../sftp/attributes.ts';

/** What the server says of a file; the protocol tells its time in whole seconds. */
export function foundOf(attributes: Attributes): FileInfo {
  const { size = 0, modifiedSeconds = 0, mode, user } = attributes;
  const permissions = mode === undefined ? undefined : mode & 0o7777;
  return { kind: kindOf(attributes), size, modified: new Date(modifiedSeconds * 1000), mode: permissions, user };
}

function kindOf(attributes: Attributes): FileKind {
  if (isRegularFile(attributes)) return 'file';
  if (isDirectory(attributes)) return 'directory';
  return isSymbolicLink(attributes) ? 'link' : 'other';
}

/** @throws FileSystemError `missing`, `link`, `other-kind` */
export function assertKind(path: string, found: FileInfo | undefined, kind: FileKind): asserts found is FileInfo {
  if (found?.kind === kind) return;
  if (found === undefined) throw new FileSystemError('missing', { code: 'not-found', message: `there is no ${path}` });
  if (found.kind === 'link') {
    throw new FileSystemError('link', {
      code: 'denied',
      message: `${path} is a symbolic link`,
      hint: 'Remove the link; a store follows none.',
    });
  }
  throw new FileSystemError('other-kind', { code: 'not-found', message: `${path} is not a ${kind === 'file' ? 'regular file' : kind}` });
}
