import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { makeTemporaryDirectory } from '@gantry/testkit';
import { isStoreError } from '@gantry/transport';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { failureOfListing, KEYS, openAt } from '../../test/open-anywhere.ts';
import { serve } from '../../test/serve.ts';
import { openS3Store } from '../open-s3-store.ts';

const directory = await makeTemporaryDirectory();
const config = join(directory.path, 'config');
const script = join(directory.path, 'credentials.sh');
/** The SDK reads the environment of the process: it must not see the settings of this machine. */
const own = { AWS_CONFIG_FILE: config, AWS_SHARED_CREDENTIALS_FILE: '/dev/null', AWS_EC2_METADATA_DISABLED: 'true' };
const before = { ...process.env };
beforeAll(() => {
  for (const name of Object.keys(process.env)) if (name.startsWith('AWS_')) delete process.env[name];
  Object.assign(process.env, own);
});
afterAll(async () => {
  for (const name of Object.keys(process.env)) if (!(name in before)) delete process.env[name];
  Object.assign(process.env, before);
  await directory[Symbol.asyncDispose]();
});

/** The error for a profile `p` with these settings. Nothing listens on port 9. */
async function failureWith(settings: string, env: Readonly<Record<string, string>> = { AWS_PROFILE: 'p' }): Promise<string> {
  await writeFile(config, `[profile p]\nregion = us-east-1\n${settings}\n`);
  const failure = await failureOfListing(() => openAt('http://127.0.0.1:9', { stallSeconds: '1' }, { ...own, ...env }));
  if (!isStoreError(failure, 'denied')) throw failure;
  expect(failure.hint).toMatch(/AWS_ACCESS_KEY_ID/);
  return failure.message;
}

async function withProcess(body: string): Promise<string> {
  await writeFile(script, `#!/bin/sh\n${body}\n`);
  await chmod(script, 0o700);
  return failureWith(`credential_process = ${script} --password TOPSECRET`);
}

describe('the error for missing credentials names the cause:', () => {
  test('there is no setting for them', async () => {
    expect(await failureWith('', {})).toBe('cannot get the credentials: Could not load credentials from any providers');
  });

  test('a profile without them', async () => {
    expect(await failureWith('')).toMatch(/^cannot get the credentials of the profile p: /);
  });

  test('a session that was never signed on', async () => {
    const session =
      'sso_session = s\nsso_account_id = 1\nsso_role_name = r\n[sso-session s]\nsso_start_url = https://x.awsapps.com/start\nsso_region = us-east-1';
    expect(await failureWith(session)).toMatch(/profile p: .*aws sso login/);
  });

  test('a missing session, or another missing profile', async () => {
    expect(await failureWith('sso_session = nosuch\nsso_account_id = 1\nsso_role_name = r')).toMatch(/profile p: .*missing/);
    expect(await failureWith('role_arn = arn:aws:iam::1:role/x\nsource_profile = nosuch')).toMatch(/profile p: .*nosuch/);
  });

  test('a missing token file', async () => {
    expect(await failureWith('role_arn = arn:aws:iam::1:role/x\nweb_identity_token_file = /nonexistent')).toMatch(/ENOENT.*\/nonexistent/);
  });

  test('a process that fails, with its output, without its arguments', async () => {
    const said = await withProcess('echo "vault is sealed" >&2; exit 3');
    expect(said).toMatch(/profile p: credential_process failed and wrote: vault is sealed$/);
    const silent = await withProcess('exit 3');
    expect(silent).toMatch(/credential_process failed without output$/);
    expect(said + silent).not.toContain('TOPSECRET');
  });

  test('a process with invalid output, or expired credentials', async () => {
    expect(await withProcess('echo hello')).toMatch(/invalid JSON/);
    const old = { Version: 1, AccessKeyId: 'a', SecretAccessKey: 'b', Expiration: '2020-01-01T00:00:00Z' };
    expect(await withProcess(`echo '${JSON.stringify(old)}'`)).toMatch(/expired/);
  });

  test('a process that never answers, which is killed, and its pipes closed', async () => {
    const pidFile = join(directory.path, 'pid');
    const said = withProcess(`echo $$ > ${pidFile}; exec sleep 1000`);
    expect(await said).toMatch(/they did not arrive within 5 s$/);
    const pid = Number(await readFile(pidFile, 'utf8'));
    await waitUntilGone(pid);
    expect(process.getActiveResourcesInfo()).not.toContain('ProcessWrap');
  });

  test('a process whose keys have a line end in the middle: the error is about the key, not the endpoint', async () => {
    expect(await withProcess(`echo '{"Version":1,"AccessKeyId":"a\\u0001b","SecretAccessKey":"c"}'`)).toMatch(
      /^the access key contains a line end/,
    );
  });
});

test('a store that is closed while it waits for credentials kills their process', async () => {
  const pidFile = join(directory.path, 'pid2');
  await writeFile(script, `#!/bin/sh\necho $$ > ${pidFile}; exec sleep 1000\n`);
  await chmod(script, 0o700);
  await writeFile(config, `[profile p]\nregion = us-east-1\ncredential_process = ${script}\n`);
  const controller = new AbortController();
  const opening = openS3Store(new URL('s3://backups/exports?endpoint=http://127.0.0.1:9&stallSeconds=3600'), {
    cwd: '/',
    env: { ...own, AWS_PROFILE: 'p' },
    warn: () => undefined,
    signal: controller.signal,
  });
  const pid = await whenWritten(pidFile);
  controller.abort(new Error('enough'));
  await expect(opening).rejects.toThrow('enough');
  await waitUntilGone(pid);
});

describe('no value of a variable of the SDK causes a defect:', () => {
  const VALUES = ['', ' ', '\n', 'x\n', 'x y', 'x\u0001\u00ff', 'x'.repeat(5000), '[', '=', '\u{1F600}'];
  test.each([
    'AWS_ACCESS_KEY_ID',
    'AWS_SECRET_ACCESS_KEY',
    'AWS_SESSION_TOKEN',
    'AWS_REGION',
    'AWS_DEFAULT_REGION',
    'AWS_PROFILE',
    'AWS_ENDPOINT_URL',
    'AWS_ENDPOINT_URL_S3',
    'AWS_CA_BUNDLE',
    'AWS_CONFIG_FILE',
    'AWS_SHARED_CREDENTIALS_FILE',
    'AWS_IGNORE_CONFIGURED_ENDPOINT_URLS',
    'AWS_USE_FIPS_ENDPOINT',
    'AWS_USE_DUALSTACK_ENDPOINT',
    'AWS_S3_USE_ARN_REGION',
    'AWS_S3_DISABLE_MULTIREGION_ACCESS_POINTS',
    'AWS_S3_DISABLE_EXPRESS_SESSION_AUTH',
    'AWS_DEFAULTS_MODE',
    'AWS_MAX_ATTEMPTS',
    'AWS_RETRY_MODE',
    'AWS_REQUEST_CHECKSUM_CALCULATION',
    'AWS_RESPONSE_CHECKSUM_VALIDATION',
    'AWS_AUTH_SCHEME_PREFERENCE',
    'AWS_SIGV4A_SIGNING_REGION_SET',
    'AWS_EXECUTION_ENV',
    'AWS_SDK_UA_APP_ID',
    'AWS_ACCOUNT_ID',
    'AWS_CREDENTIAL_SCOPE',
    'AWS_CREDENTIAL_EXPIRATION',
    'HTTP_PROXY',
    'NO_PROXY',
  ])('%s', async (name) => {
    await using service = await serve((request, response) => {
      request.resume();
      response.writeHead(404).end('<Error><Code>NoSuchBucket</Code></Error>');
    });
    for (const value of VALUES) {
      process.env[name] = value;
      try {
        const env = { ...own, ...KEYS, AWS_REGION: 'us-east-1', [name]: value };
        const failure = await failureOfListing(() => openAt(service.endpoint, { conditionalWrites: 'none' }, env));
        expect(isStoreError(failure), `${name}=${JSON.stringify(value)}: ${String(failure)}`).toBe(true);
      } finally {
        if (name in own) Object.assign(process.env, own);
        else delete process.env[name];
      }
    }
  });
});

async function whenWritten(path: string): Promise<number> {
  for (;;) {
    const text = await readFile(path, 'utf8').catch(() => '');
    if (/^\d+\n$/.test(text)) return Number(text);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function waitUntilGone(pid: number): Promise<void> {
  for (;;) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
}
