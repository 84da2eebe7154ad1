import type { FileKind, FileInfo } from '@gantry/directory-store';
import { FileSystemError } from '@gantry/directory-store';
import type { Attributes } from '../sftp/attributes.ts';
import { isDirectory, isRegularFile, isSymbolicLink } from '../sftp/attributes.ts';

/** The server's information on a file; the protocol has its time only in seconds. */
export function fileInfoOf(attributes: Attributes): FileInfo {
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
  if (found === undefined) throw new FileSystemError('missing', { code: 'not-found', message: `${path} does not exist` });
  if (found.kind === 'link') {
    throw new FileSystemError('link', {
      code: 'denied',
      message: `${path} is a symbolic link`,
      hint: 'Remove the link: a store does not follow symbolic links.',
    });
  }
  throw new FileSystemError('other-kind', { code: 'not-found', message: `${path} is not a ${kind === 'file' ? 'regular file' : kind}` });
}
