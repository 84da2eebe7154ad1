import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeTemporaryDirectory } from '@gantry/testkit';
import { isStoreError } from '@gantry/transport';
import { afterAll, describe, expect, test } from 'vitest';
import { parseAddress } from './address.ts';
import type { Environment } from './environment.ts';
import { tidyAwsVariables } from './environment.ts';
import type { Settings } from './settings.ts';
import { readSettings } from './settings.ts';

const directory = await makeTemporaryDirectory();
afterAll(() => directory[Symbol.asyncDispose]());
const FILES = {
  AWS_CONFIG_FILE: join(directory.path, 'config'),
  AWS_SHARED_CREDENTIALS_FILE: join(directory.path, 'credentials'),
};
await writeFile(
  FILES.AWS_CONFIG_FILE,
  `[profile p]
region = eu-west-1
[profile elsewhere]
endpoint_url = https://s3.example.com
[profile both]
endpoint_url = https://other.example.com
services = own
[services own]
s3 =
  endpoint_url = https://own.example.com
[profile schemeless]
endpoint_url = s3.example.com
[profile oddregion]
region = a b
[profile noregion]
region =
output = json
`,
);
await writeFile(FILES.AWS_SHARED_CREDENTIALS_FILE, '[only-there]\naws_access_key_id = a\naws_secret_access_key = b\n');

const KEYS = { AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 'secret' };

function settingsOf(query: string, env: Environment): Promise<Settings> {
  return readSettings(parseAddress(new URL(`s3://backups/exports?${query}`)), { ...FILES, ...env });
}

async function refusal(query: string, env: Environment): Promise<{ readonly message: string; readonly hint: string }> {
  try {
    await settingsOf(query, env);
  } catch (error) {
    if (isStoreError(error, 'invalid-address')) return { message: error.message, hint: error.hint ?? '' };
    throw error;
  }
  throw new Error('it was not refused');
}

describe('settings', () => {
  test.each<[string, string, Environment, Partial<Settings>]>([
    ['keys of the environment', 'region=r', KEYS, { credentials: { accessKeyId: 'id', secretAccessKey: 'secret' } }],
    [
      'with a token',
      'region=r',
      { ...KEYS, AWS_SESSION_TOKEN: 't' },
      { credentials: { accessKeyId: 'id', secretAccessKey: 'secret', sessionToken: 't' } },
    ],
    [
      'a profile of the address before these',
      'profile=p',
      KEYS,
      { credentials: { profile: 'p', fromProfile: false }, region: 'eu-west-1' },
    ],
    ['a profile in the other file', 'region=r&profile=only-there', {}, { credentials: { profile: 'only-there', fromProfile: true } }],
    ['the region of the address first', 'region=r&profile=p', { AWS_REGION: 'x' }, { region: 'r' }],
    ['then that of the environment', 'profile=p', { AWS_REGION: 'x', AWS_DEFAULT_REGION: 'y' }, { region: 'x' }],
    ['or the other one there', 'profile=p', { AWS_DEFAULT_REGION: 'y' }, { region: 'y' }],
    ['then that of the profile', 'endpoint=http://h', { AWS_PROFILE: 'p', ...KEYS }, { region: 'eu-west-1' }],
    ['a usual one with an endpoint', 'endpoint=http://h&profile=noregion', {}, { region: 'us-east-1', pathStyle: true }],
    ['no endpoint', 'region=r', KEYS, { endpoint: undefined, pathStyle: false }],
    ['one of the environment', '', { ...KEYS, AWS_ENDPOINT_URL: 'http://h:1' }, { endpoint: new URL('http://h:1'), pathStyle: true }],
    [
      'the one for S3 first',
      '',
      { ...KEYS, AWS_ENDPOINT_URL: 'http://h:1', AWS_ENDPOINT_URL_S3: 'http://h:2' },
      { endpoint: new URL('http://h:2') },
    ],
    ['that of the profile', 'profile=elsewhere', {}, { endpoint: new URL('https://s3.example.com'), pathStyle: true }],
    ['the one for S3 there first', 'profile=both', {}, { endpoint: new URL('https://own.example.com') }],
    [
      'none of these where the user says so',
      'region=r&profile=elsewhere',
      { AWS_ENDPOINT_URL: 'http://h', AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: 'true' },
      { endpoint: undefined },
    ],
    ['authorities of the environment', 'region=r', { ...KEYS, AWS_CA_BUNDLE: '/ca' }, { caFile: '/ca' }],
    ['the ones of the address first', 'region=r&caFile=/own', { ...KEYS, AWS_CA_BUNDLE: '/ca' }, { caFile: '/own' }],
  ])('%s', async (_, query, env, expected) => {
    expect(await settingsOf(query, env)).toMatchObject(expected);
  });

  test('are read without the spaces and line ends around them', async () => {
    const env = {
      AWS_ACCESS_KEY_ID: 'id\n',
      AWS_SECRET_ACCESS_KEY: ' secret\r\n',
      AWS_SESSION_TOKEN: 't\n',
      AWS_REGION: 'r\n',
      AWS_ENDPOINT_URL: 'http://h:1\n',
      AWS_CA_BUNDLE: '/ca\n',
    };
    expect(await settingsOf('', env)).toEqual({
      endpoint: new URL('http://h:1'),
      region: 'r',
      pathStyle: true,
      caFile: '/ca',
      credentials: { accessKeyId: 'id', secretAccessKey: 'secret', sessionToken: 't' },
    });
  });

  test.each(['', ' ', '\n'])('that are set to %j are not set', async (empty) => {
    const names = ['AWS_SESSION_TOKEN', 'AWS_PROFILE', 'AWS_REGION', 'AWS_ENDPOINT_URL', 'AWS_ENDPOINT_URL_S3', 'AWS_CA_BUNDLE'];
    const env = { ...KEYS, ...Object.fromEntries(names.map((name) => [name, empty])), AWS_DEFAULT_REGION: 'r' };
    expect(await settingsOf('', env)).toEqual({
      endpoint: undefined,
      region: 'r',
      pathStyle: false,
      caFile: undefined,
      credentials: { accessKeyId: 'id', secretAccessKey: 'secret' },
    });
  });
});

describe('settings are refused, by their names:', () => {
  test.each<[string, string, Environment, RegExp]>([
    ['an unknown profile of the address', 'region=r&profile=nosuch', KEYS, /the profile "nosuch" is not in .*config and .*credentials/],
    ['an unknown profile of the environment', 'region=r', { AWS_PROFILE: 'nosuch' }, /the profile "nosuch" is not in/],
    ['one key of the pair', 'region=r', { AWS_ACCESS_KEY_ID: 'a' }, /AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not/],
    ['the other one', 'region=r', { AWS_SECRET_ACCESS_KEY: 'a' }, /AWS_SECRET_ACCESS_KEY is set, but AWS_ACCESS_KEY_ID is not/],
    ['no region', '', KEYS, /region of the bucket is not known/],
    ['no region in a profile', 'profile=noregion', {}, /region of the bucket is not known/],
    ['an invalid region', '', { ...KEYS, AWS_REGION: 'a b' }, /AWS_REGION is "a b"/],
    ['a long one', '', { ...KEYS, AWS_DEFAULT_REGION: 'x'.repeat(65) }, /AWS_DEFAULT_REGION is "x+"/],
    ['one of a profile', 'profile=oddregion', {}, /the region in .*config and .* is "a b"/],
    ['an endpoint without a scheme', '', { ...KEYS, AWS_ENDPOINT_URL_S3: '127.0.0.1:9' }, /^AWS_ENDPOINT_URL_S3 is not an http/],
    ['the other one', '', { ...KEYS, AWS_ENDPOINT_URL: 's3.example.com' }, /^AWS_ENDPOINT_URL is not an http/],
    ['one of a profile', 'profile=schemeless', {}, /^endpoint_url in .*config and .* is not an http/],
    ['the bucket in the endpoint', 'endpoint=http://h:1/backups/', KEYS, /option endpoint of the address ends in the name of the bucket/],
    ['the bucket in an endpoint with a path', 'endpoint=http://h:1/s3/backups', KEYS, /ends in the name of the bucket/],
    ['there too', '', { ...KEYS, AWS_ENDPOINT_URL: 'https://h/backups' }, /AWS_ENDPOINT_URL ends in the name of the bucket/],
  ])('%s', async (_, query, env, message) => {
    const refused = await refusal(query, env);
    expect(refused.message).toMatch(message);
    expect(refused.hint).not.toBe('');
  });

  test('the bucket in the endpoint, with the correct endpoint', async () => {
    expect((await refusal('endpoint=http://h:1/s3/backups/', KEYS)).hint).toContain('endpoint=http://h:1/s3');
    expect(await settingsOf('endpoint=http://h:1/s3', KEYS)).toMatchObject({ endpoint: new URL('http://h:1/s3') });
    expect(await settingsOf('endpoint=http://h:1/mybackups', KEYS)).toMatchObject({ endpoint: new URL('http://h:1/mybackups') });
  });

  test('an endpoint with a password, which is not repeated', async () => {
    const { message, hint } = await refusal('', { ...KEYS, AWS_ENDPOINT_URL: 'https://user:TOPSECRET@h' });
    expect(message + hint).not.toContain('TOPSECRET');
    expect(message).toMatch(/AWS_ENDPOINT_URL contains a user or a password/);
  });
});

test('cleans up the AWS_ variables of the process for the SDK, and leaves the others alone', () => {
  const env = { AWS_A: '', AWS_B: ' \n', AWS_C: ' x\n', AWS_D: 'x y', OTHER: ' ' };
  tidyAwsVariables(env);
  expect(env).toEqual({ AWS_C: 'x', AWS_D: 'x y', OTHER: ' ' });
});
