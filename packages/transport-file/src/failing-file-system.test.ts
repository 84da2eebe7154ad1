import { failingFileSystem } from '@gantry/directory-store/testing';
import { mountFailingExt4 } from '@gantry/testkit';
import { test } from 'vitest';
import { FileStore } from './file-store.ts';

const open = (path: string): FileStore => new FileStore(path);

test.each(failingFileSystem({ mount: mountFailingExt4, open, knowsReadOnly: true }))('$title', ({ run }) => run());
