import { failingFileSystem } from '@gantry/directory-store/testing';
import { mountFailingExt4 } from '@gantry/testkit';
import { test } from 'vitest';
import { localSftp } from '../test/local-sftp.ts';
import { parseAddress } from './address.ts';
import { SshStore } from './ssh-store.ts';

function open(path: string): SshStore {
  return new SshStore(localSftp(), parseAddress(new URL(`ssh://peer${path}`)), () => undefined);
}

// Linux since 6.16 does not show it in statvfs(3), and SFTP reports every failure as "failure".
test.each(failingFileSystem({ mount: mountFailingExt4, open, knowsReadOnly: false }))('$title', ({ run }) => run());
