import { StoreError } from '@gantry/transport';

/* What a store refuses, or finds in its way. */

export function alreadyThere(key: string, cause?: unknown): StoreError {
  return new StoreError('exists', { message: `${key} is there already`, key, cause });
}

export function linkOnTheWay(shown: string, key: string, cause?: unknown): StoreError {
  return new StoreError('denied', {
    key,
    message: `${key} leads out of the store ${shown} through a symbolic link`,
    hint: 'Remove the link; a store follows none.',
    cause,
  });
}

export function inTheWay(shown: string, key: string, cause?: unknown): StoreError {
  return new StoreError('exists', {
    key,
    message: `cannot make ${key} in ${shown}: it is a directory, or a part of it is a file`,
    hint: 'Choose another name, or remove what is there.',
    cause,
  });
}

export function notReplaceable(shown: string, key: string): StoreError {
  return new StoreError('unsupported', {
    key,
    message: `${shown} cannot replace ${key}: its server cannot rename over a file that is there (posix-rename@openssh.com)`,
    hint: 'Remove the object first, or use OpenSSH on the peer.',
  });
}

export function writeEnded(key: string, cause?: unknown): StoreError {
  return new StoreError('not-found', {
    message: `the unfinished write of ${key} was cleared, or taken over by another process`,
    key,
    cause,
  });
}
