import { StoreError } from '@gantry/transport';

/* Errors for keys that a store cannot use. */

export function alreadyExists(key: string, cause?: unknown): StoreError {
  return new StoreError('exists', { message: `${key} already exists`, key, cause });
}

export function linkInPath(shown: string, key: string, cause?: unknown): StoreError {
  return new StoreError('denied', {
    key,
    message: `${key} leads out of the store ${shown} through a symbolic link`,
    hint: 'Remove the link: a store does not follow symbolic links.',
    cause,
  });
}

export function wrongKind(shown: string, key: string, cause?: unknown): StoreError {
  return new StoreError('exists', {
    key,
    message: `cannot create ${key} in ${shown}: it is a directory, or a part of it is a file`,
    hint: 'Choose another name, or remove the file or directory of that name.',
    cause,
  });
}

export function notReplaceable(shown: string, key: string): StoreError {
  return new StoreError('unsupported', {
    key,
    message: `cannot replace ${key} in ${shown}: its server cannot rename over an existing file (it lacks posix-rename@openssh.com)`,
    hint: 'Remove the object first, or use OpenSSH on the peer.',
  });
}

export function writeEnded(key: string, cause?: unknown): StoreError {
  return new StoreError('not-found', {
    message: `cannot continue the write of ${key}: it was cleared, or taken over by another process`,
    key,
    cause,
  });
}
