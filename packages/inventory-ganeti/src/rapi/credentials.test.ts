import { chmod, writeFile } from 'node:fs/promises';
import { inspect } from 'node:util';
import { makeTemporaryDirectory } from '@gantry/testkit';
import { afterAll, expect, test } from 'vitest';
import type { CredentialSource, RapiCredentials } from './credentials.ts';
import { findCredentials } from './credentials.ts';

const directory = await makeTemporaryDirectory();
afterAll(async () => await directory[Symbol.asyncDispose]());

async function find(source: Partial<CredentialSource>): Promise<RapiCredentials | undefined> {
  return await findCredentials({ host: 'master', user: undefined, file: undefined, env: {}, ...source });
}

async function netrc(text: string, mode = 0o600): Promise<string> {
  const path = directory.file('netrc');
  await writeFile(path, text);
  await chmod(path, mode);
  return path;
}

function header(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}

test('of a netrc file: the entry of the host, and of the user whom the address names', async () => {
  const file = await netrc(
    '# clusters\nmachine other login a password b\nmachine master\n  login gantry\n  password s3cret\ndefault login x password y\n',
  );
  expect((await find({ file }))?.authorization()).toBe(header('gantry', 's3cret'));
  expect((await find({ env: { GANTRY_GANETI_CREDENTIALS: file } }))?.user).toBe('gantry');
  expect((await find({ file, user: 'x' }))?.authorization()).toBe(header('x', 'y'));
  expect((await find({ file, host: 'third' }))?.user).toBe('x');
  await expect(find({ file, user: 'nobody' })).rejects.toMatchObject({
    code: 'denied',
    message: `${file} has no login and password for nobody at master`,
  });
});

test('of the environment', async () => {
  const env = { GANTRY_GANETI_USER: 'gantry', GANTRY_GANETI_PASSWORD: 's3cret' };
  expect((await find({ env }))?.authorization()).toBe(header('gantry', 's3cret'));
  expect((await find({ env, user: 'other' }))?.authorization()).toBe(header('other', 's3cret'));
  expect(await find({})).toBeUndefined();
  await expect(find({ env: { GANTRY_GANETI_USER: 'gantry' } })).rejects.toMatchObject({
    code: 'denied',
    message: expect.stringContaining('GANTRY_GANETI_PASSWORD is not set'),
  });
});

test.each([
  ['that others can read', 'machine master login a password s3cret', 0o640, 'can be read by other users'],
  ['with another format', 'gantry s3cret', 0o600, 'is not a netrc file'],
  ['that ends in the middle', 'machine master login a password', 0o600, 'is not a netrc file'],
  ['without the host', 'machine other login a password s3cret', 0o600, 'has no login and password for master'],
])('a file %s is refused, and none of its contents are shown', async (_what, text, mode, reason) => {
  const error: unknown = await find({ file: await netrc(text, mode) }).catch((error: unknown) => error);
  expect(error).toMatchObject({ code: 'denied', message: expect.stringContaining(reason) });
  expect(inspect(error)).not.toContain('s3cret');
});

test('a file that is missing, and one that is a directory', async () => {
  await expect(find({ file: directory.file('none') })).rejects.toMatchObject({
    code: 'denied',
    message: expect.stringContaining('there is no such file'),
  });
  await expect(find({ file: directory.path })).rejects.toMatchObject({
    code: 'denied',
    message: expect.stringContaining('is not a regular file'),
  });
});

test('printing credentials shows no password', async () => {
  const credentials = await find({ env: { GANTRY_GANETI_USER: 'gantry', GANTRY_GANETI_PASSWORD: 's3cret' } });
  expect(inspect(credentials, { showHidden: true, depth: 5 })).not.toContain('s3cret');
});
