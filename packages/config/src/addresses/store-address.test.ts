import { GantryError } from '@gantry/core';
import { describe, expect, test } from 'vitest';
import { parseStoreAddress } from './store-address.ts';

function refusal(text: string): GantryError {
  try {
    parseStoreAddress(text, '/work');
  } catch (error) {
    if (error instanceof GantryError) return error;
    throw error;
  }
  throw new Error(`${text} is accepted`);
}

describe('the form of another tool', () => {
  test.each([
    ['backup.example.com:exports', 'ssh://backup.example.com/~/exports'],
    ['backup:/srv/exports', 'ssh://backup/srv/exports'],
    ['root@backup:', 'ssh://root@backup/DIRECTORY'],
    ['root@backup:/srv/exports', 'ssh://root@backup/srv/exports'],
    ['root@backup::module', 'ssh://root@backup/~/:module'],
    ['s3:backups/exports', 's3://backups/exports'],
    ['s3:', 's3://BUCKET/PREFIX'],
    ['S3:backups', 's3://backups'],
    ['ssh:backup', 'ssh://backup/DIRECTORY'],
    ['sftp:', 'ssh://HOST/DIRECTORY'],
    ['sftp:root@backup:exports', 'ssh://root@backup/~/exports'],
    ['rclone:remote:exports', 's3://BUCKET/PREFIX'],
    ['rest:http://backup:8000/', 'ssh://HOST/DIRECTORY'],
    ['b2:bucket', 's3://BUCKET/PREFIX'],
    ['gs:bucket:/', 's3://BUCKET/PREFIX'],
    ['http:', 's3://BUCKET/PREFIX'],
    ['file:exports', './exports'],
    ['-', 'standard output'],
    ['~/exports', 'The shell expands ~'],
    ['~root', 'The shell expands ~'],
    ['\\\\server\\share', 'Mount the share'],
    ['C:\\exports', 'no drive'],
    ['d:/exports', 'no drive'],
    [':exports', 'ssh://HOST/DIRECTORY'],
  ])('%s is refused, with suggestions for the URL and for ./', (text, hint) => {
    const error = refusal(text);
    expect(error).toMatchObject({ code: 'STORE_ADDRESS', exitCode: 8, message: expect.stringContaining(JSON.stringify(text)) });
    expect(error.hint).toContain(hint);
    expect(error.hint).toMatch(/(\. F|; f)or a local directory of that name: \.\//);
    expect(error.hint).toContain(`: ./${text}`);
  });

  test.each(['./host:dir', '/host:dir', 'exports/a:b', '../s3:x', './-', './~', './C:\\x', 'a@b', 'exports', '.', 'ex ports'])(
    '%s stays a local path',
    (text) => {
      expect(parseStoreAddress(text, '/work').protocol).toBe('file:');
    },
  );

  test.each([
    ['SSH://host/dir', 'ssh://host/dir'],
    ['file:///srv/exports', 'file:///srv/exports'],
    ['file:/srv/exports', 'file:///srv/exports'],
    ['s3+http://host/bucket', 's3+http://host/bucket'],
  ])('%s is the URL %s', (text, href) => {
    expect(parseStoreAddress(text, '/work').href).toBe(href);
  });

  test.each(['', ' ', ' /srv/exports', '/srv/exports\n', '/srv/ex\tports', '/srv/\u001B[31m', '/srv/\uFFFD', 's3://bucket/a '])(
    '%j is refused: nobody means such a text',
    (text) => {
      expect(refusal(text)).toMatchObject({ code: 'STORE_ADDRESS' });
    },
  );
});
