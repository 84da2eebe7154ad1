import { X509Certificate } from 'node:crypto';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import type { InventoryErrorCode } from '@gantry/core/inventory';
import { findFreePorts, startSilentServer } from '@gantry/testkit';
import { expect, onTestFinished, test } from 'vitest';
import type { Answer, FakeRapi } from '../../test/fake-rapi.ts';
import { json, startFakeRapi } from '../../test/fake-rapi.ts';
import { PASSWORD, refusal } from '../../test/refusal.ts';
import { RapiCredentials } from './credentials.ts';
import { MAX_ANSWER_BYTES } from './exchange.ts';
import { RapiClient } from './rapi-client.ts';
import type { RapiTrust } from './trust.ts';
import { findTrust } from './trust.ts';

const CREDENTIALS = new RapiCredentials('gantry', PASSWORD);

async function fake(answer: Answer, names?: string): Promise<FakeRapi> {
  const server = await startFakeRapi(answer, names);
  onTestFinished(async () => await server[Symbol.asyncDispose]());
  return server;
}

function clientOf(server: { readonly port: number }, trust: RapiTrust, timeoutMs = 60_000): RapiClient {
  return new RapiClient({ host: 'localhost', port: server.port, trust, timeoutMs, credentials: CREDENTIALS });
}

async function trusting(server: FakeRapi): Promise<RapiTrust> {
  return await findTrust({ ca: server.certificateFile, fingerprints: undefined, env: {} });
}

const nothing: Answer = (_request, response) => json(response, 200, null);

test('a request carries credentials and its query, and the answer is parsed', async () => {
  let authorization: string | undefined;
  const server = await fake((request, response) => {
    ({ authorization } = request.headers);
    json(response, 200, ['web1']);
  });
  const client = clientOf(server, await trusting(server));
  expect(await client.get(['instances', 'a/b'], { query: { bulk: 1 } })).toEqual(['web1']);
  expect(server.requests).toEqual(['GET /2/instances/a%2Fb?bulk=1']);
  expect(authorization).toBe(`Basic ${Buffer.from(`gantry:${PASSWORD}`).toString('base64')}`);
});

test('nothing is sent to a server whose certificate is not trusted', async () => {
  const server = await fake(nothing);
  const other = await fake(nothing);
  const trusts: RapiTrust[] = [{ kind: 'system' }, await trusting(other), { kind: 'pinned', fingerprints: new Set(['00']) }];
  for (const trust of trusts) {
    const error = await refusal(() => clientOf(server, trust).get(['info']));
    expect(error).toMatchObject({ code: 'denied', message: expect.stringMatching(/the certificate of RAPI at localhost:\d+ is not/) });
  }
  expect(server.requests).toEqual([]);
});

test('a certificate for another name is trusted when it is pinned or named itself, not because of its authority', async () => {
  const server = await fake(nothing, 'DNS:ganeti.example.com');
  expect(await clientOf(server, await trusting(server)).get(['info'])).toBeNull();
  const { fingerprint256 } = new X509Certificate(await readFile(server.certificateFile));
  expect(await clientOf(server, { kind: 'pinned', fingerprints: new Set([fingerprint256]) }).get(['info'])).toBeNull();
});

test('files of fingerprints, as openssl prints them', async () => {
  const server = await fake(nothing);
  const { fingerprint256 } = new X509Certificate(await readFile(server.certificateFile));
  const file = server.file('fingerprints');
  await writeFile(file, `# the old one\n${'0'.repeat(64)}\nsha256 Fingerprint=${fingerprint256}\n`);
  const trust = await findTrust({ ca: undefined, fingerprints: undefined, env: { GANTRY_GANETI_FINGERPRINTS: file } });
  expect(await clientOf(server, trust).get(['info'])).toBeNull();

  await writeFile(file, 'anything\n');
  const find = async (): Promise<RapiTrust> => await findTrust({ ca: undefined, fingerprints: file, env: {} });
  expect(await refusal(find)).toMatchObject({ code: 'denied', message: `line 1 of ${file} is not a SHA-256 fingerprint` });
  await chmod(file, 0o666);
  expect(await refusal(find)).toMatchObject({ code: 'denied', hint: `chmod go-w ${file}` });
});

test.each<[string, Answer, InventoryErrorCode, RegExp]>([
  ['a wrong password', (_, response) => json(response, 401, { code: 401 }), 'denied', /the user gantry or its password is not accepted/],
  ['a user without rights', (_, response) => json(response, 403, { code: 403 }), 'denied', /the user gantry may only read/],
  [
    'something unknown',
    (_, response) => json(response, 404, { explain: 'no such\n\u001B[31m thing' }),
    'not-found',
    /404: no such \[31m thing$/,
  ],
  ['a failure', (_, response) => json(response, 500, { message: 'Internal Server Error' }), 'failed', /500: Internal Server Error$/],
  [
    'its own request, with the password',
    (q, response) => json(response, 400, { explain: q.headers.authorization }),
    'failed',
    /400: Basic …$/,
  ],
  ['a page', (_, response) => response.end('<html>'), 'failed', /the answer is not JSON$/],
  ['a redirect', (_, response) => response.writeHead(302, { location: 'http://elsewhere' }).end(), 'failed', /status 302$/],
  ['more than there is room for', endless, 'failed', new RegExp(`more than ${MAX_ANSWER_BYTES} bytes`)],
])('a server that answers with %s', async (_what, answer, code, message) => {
  const server = await fake(answer);
  const error = await refusal(async () => await clientOf(server, await trusting(server)).get(['info']));
  expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
  expect(server.requests).toHaveLength(1);
});

function endless(_request: unknown, response: ServerResponse): void {
  const chunk = Buffer.alloc(1024 * 1024, ' ');
  const write = (): void => {
    while (!response.destroyed && response.write(chunk));
    if (!response.destroyed) response.once('drain', write);
  };
  response.on('error', () => undefined);
  write();
}

test('what only reads is repeated while the server fails for a time; a job is submitted once', async () => {
  const answers = [502, 200, 502];
  const server = await fake((_request, response) => json(response, answers.shift() ?? 200, 1));
  const client = clientOf(server, await trusting(server));
  expect(await client.get(['info'])).toBe(1);
  expect(await refusal(() => client.submit('PUT', ['instances', 'web1', 'startup']))).toMatchObject({ code: 'unavailable' });
  expect(server.requests).toEqual(['GET /2/info', 'GET /2/info', 'PUT /2/instances/web1/startup']);
});

test('a connection that breaks off in the answer', async () => {
  const server = await fake((_request, response) => {
    response.writeHead(200, { 'content-length': '10' });
    response.write('[', () => response.destroy());
  });
  const error = await refusal(async () => await clientOf(server, await trusting(server)).get(['info']));
  expect(error).toMatchObject({ code: 'unavailable', message: expect.stringContaining('the connection broke off') });
  expect(server.requests).toHaveLength(3);
});

test('a server that does not answer', async () => {
  const server = await fake(() => undefined);
  const error = await refusal(async () => await clientOf(server, await trusting(server), 300).get(['info']));
  expect(error).toMatchObject({ code: 'unavailable', message: expect.stringContaining('no answer within 0.3 s') });
});

test('a port on which nothing listens', async () => {
  const port = await findFreePorts(1);
  const error = await refusal(() => clientOf({ port }, { kind: 'system' }).get(['info']));
  expect(error).toMatchObject({ code: 'unavailable', message: `cannot connect to RAPI at localhost:${port}: connection refused` });
});

test('a server that does not speak TLS', async () => {
  await using server = await startSilentServer('SSH-2.0-x\r\n');
  const error = await refusal(() => clientOf(server, { kind: 'system' }).get(['info']));
  expect(error).toMatchObject({ code: 'failed', message: expect.stringContaining('the TLS handshake failed') });
});

test('a call is cancelled at once, while it connects and while it waits', async () => {
  const reason = new Error('cancelled');
  await using silent = await startSilentServer();
  const connecting = new AbortController();
  void silent.reached.then(() => connecting.abort(reason));
  await expect(clientOf(silent, { kind: 'system' }).get(['info'], { signal: connecting.signal })).rejects.toBe(reason);

  const waiting = new AbortController();
  const server = await fake(() => waiting.abort(reason));
  const trust = await trusting(server);
  await expect(clientOf(server, trust).get(['info'], { signal: waiting.signal })).rejects.toBe(reason);
});
