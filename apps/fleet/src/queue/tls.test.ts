import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { once } from 'node:events';
import type { Certificate, PostgresServer, TemporaryDirectory } from '@gantry/testkit';
import { makeCertificate, makeTemporaryDirectory, startPostgres } from '@gantry/testkit';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { FleetQueue } from './fleet-queue.ts';
import { initPostgres, openPostgres } from './open-postgres.ts';
import type { Protected } from './tls.ts';
import { protect } from './tls.ts';

const warn = (): void => undefined;
const scope = new AsyncDisposableStack();
let home: TemporaryDirectory;
let authority: Certificate;
/** Signed by the authority. */
let ofNode: Certificate;
let server: PostgresServer;

async function certificate(directory: string, options: Parameters<typeof makeCertificate>[1] = {}): Promise<Certificate> {
  await mkdir(home.file(directory));
  return await makeCertificate(home.file(directory), options);
}

beforeAll(async () => {
  home = scope.use(await makeTemporaryDirectory());
  authority = await certificate('authority');
  ofNode = await certificate('n1', { subject: 'gantry-node-n1', authority });
  const own = await certificate('server', { names: 'IP:127.0.0.1', authority });
  server = scope.use(await startPostgres({ tls: { certificate: own, clientAuthority: authority.certFile } }));
  await initPostgres({ url: addressOf('owner', { sslrootcert: authority.certFile }), warn }, ['n1', 'n2']);
});

afterAll(async () => {
  await scope.disposeAsync();
});

/** The address of a role, checked unless it says otherwise: the server is on this host. */
function addressOf(role: string, parameters: Readonly<Record<string, string>>, host = '127.0.0.1'): string {
  const url = new URL(server.url(role).replace('127.0.0.1', host));
  for (const [name, value] of Object.entries({ sslmode: 'verify-full', ...parameters })) url.searchParams.set(name, value);
  return url.href;
}

function asNode({ certFile, keyFile }: Certificate, role = 'gantry-node-n1'): string {
  return addressOf(role, { sslrootcert: authority.certFile, sslcert: certFile, sslkey: keyFile });
}

/** Opens and closes a queue. */
async function open(url: string): Promise<void> {
  await using queue = await openPostgres({ url, warn });
  await queue.paused();
}

/** Ends the connections of a role, from the server. */
async function disconnect(role: string): Promise<void> {
  const ca = await readFile(authority.certFile, 'utf8');
  const client = new pg.Client({ connectionString: server.url('owner'), ssl: { ca } });
  await client.connect();
  const { rows } = await client.query<{ readonly ssl: boolean }>(
    'SELECT s.ssl, pg_terminate_backend(pid) FROM pg_stat_activity JOIN pg_stat_ssl s USING (pid) WHERE usename = $1',
    [role],
  );
  await client.end();
  expect(rows.map(({ ssl }) => ssl)).toEqual([true]);
}

/** Until a queue that has lost its connection uses another one. */
async function again(queue: FleetQueue): Promise<void> {
  await expect.poll(() => queue.paused().then(() => 'used', String)).toBe('used');
}

describe('a server with TLS', () => {
  test('is used if its certificate is of an authority that is named', async () => {
    await open(asNode(ofNode));
    await open(addressOf('owner', { sslrootcert: authority.certFile, sslmode: 'verify-ca' }, 'localhost'));
  });

  test('whose certificate is of an authority that nobody has named, or of another name, is refused with the cause', async () => {
    const refused = { code: 'QUEUE_UNAVAILABLE', hint: expect.stringContaining('sslrootcert') };
    await expect(open(addressOf('owner', {}))).rejects.toMatchObject({
      ...refused,
      message: expect.stringMatching(/unable to (?:verify|get)|self-signed/),
    });
    await expect(open(addressOf('owner', { sslrootcert: authority.certFile }, 'localhost'))).rejects.toMatchObject({
      ...refused,
      message: expect.stringContaining('altnames: Host: localhost'),
    });
  });

  test('whose certificate another authority has signed is refused', async () => {
    const { certFile } = await certificate('other');
    await expect(open(addressOf('owner', { sslrootcert: certFile }))).rejects.toMatchObject({
      hint: expect.stringContaining('sslrootcert'),
    });
  });

  test('refuses those who come without TLS, without a certificate, or with that of another node', async () => {
    const refused = { code: 'QUEUE_UNUSABLE', hint: expect.stringContaining('pg_hba.conf') };
    await expect(open(addressOf('owner', { sslmode: 'disable' }))).rejects.toMatchObject({
      ...refused,
      message: expect.stringContaining('no encryption'),
    });
    const without = addressOf('gantry-node-n1', { sslrootcert: authority.certFile });
    await expect(open(without)).rejects.toMatchObject({ ...refused, message: expect.stringContaining('valid client certificate') });
    await expect(open(asNode(ofNode, 'gantry-node-n2'))).rejects.toMatchObject({
      ...refused,
      message: expect.stringContaining('certificate authentication failed'),
    });
  });

  test('refuses a certificate of a client that it does not know', async () => {
    const url = asNode(await certificate('stranger', { subject: 'gantry-node-n1' }));
    await expect(open(url)).rejects.toMatchObject({ code: expect.stringMatching(/^QUEUE_/) });
  });

  test('gets a renewed certificate at the next connection, and the earlier one while its files are missing', async () => {
    const [certFile, keyFile] = [home.file('renewed.crt'), home.file('renewed.key')];
    await copyFile(ofNode.certFile, certFile);
    await copyFile(ofNode.keyFile, keyFile);
    await using queue = await openPostgres({ url: asNode({ certFile, keyFile }), warn, connections: 1 });
    for (const file of [certFile, keyFile]) await rm(file);
    await disconnect('gantry-node-n1');
    await again(queue);
    const ofAnother = await certificate('n2', { subject: 'gantry-node-n2', authority });
    await copyFile(ofAnother.certFile, certFile);
    await copyFile(ofAnother.keyFile, keyFile);
    await disconnect('gantry-node-n1');
    await expect.poll(() => queue.paused().catch(String)).toContain('certificate authentication failed');
  });
});

test('a server without TLS is refused, and nothing is sent to it', async () => {
  const sent: Buffer[] = [];
  const plain = createServer((socket) => {
    socket.on('data', (chunk) => {
      sent.push(chunk);
      socket.write('N');
    });
    socket.on('error', () => undefined);
  });
  plain.listen(0, '127.0.0.1');
  await once(plain, 'listening');
  try {
    const listens = plain.address();
    const port = typeof listens === 'object' ? listens?.port : undefined;
    await expect(open(`postgres://u@127.0.0.1:${port}/d?sslmode=verify-full`)).rejects.toMatchObject({
      code: 'QUEUE_UNAVAILABLE',
      hint: expect.stringContaining('ssl = on'),
    });
  } finally {
    plain.close();
  }
  // The request for TLS alone.
  expect(Buffer.concat(sent).length % 8).toBe(0);
  expect(Buffer.concat(sent).toString('latin1')).not.toContain('u\0');
});

describe('the address of a database', () => {
  const read = (text: string, env: NodeJS.ProcessEnv = {}): Protected => protect(new URL(text), env);

  test.each(['postgres://u@db/d', 'postgres://u@192.0.2.1/d', 'postgres://u@[2001:db8::1]/d', 'postgres://u@127.0.0.1/d?host=db'])(
    '%s has the certificate of its server checked by what this host trusts',
    (text) => {
      const { ssl } = read(text);
      expect(ssl).toMatchObject({ minVersion: 'TLSv1.2', ca: expect.arrayContaining([expect.stringContaining('BEGIN CERTIFICATE')]) });
      expect(ssl).not.toHaveProperty('checkServerIdentity');
      expect(ssl).not.toHaveProperty('rejectUnauthorized');
    },
  );

  test.each([
    'postgres://u@localhost/d',
    'postgres://u@127.0.0.1/d',
    'postgres://u@[::1]/d',
    'postgres:///d?host=/run/postgresql',
    'postgres://u@%2Frun%2Fpostgresql/d',
    'postgres:///d',
    'postgres://u@db/d?sslmode=disable',
  ])('%s goes without TLS', (text) => {
    expect(read(text)).toMatchObject({ ssl: false });
  });

  test('names what libpq names, in it or in the environment, and comes back without it', () => {
    const { certFile, keyFile } = ofNode;
    const given = `postgres://u@db/d?application_name=x&sslmode=verify-ca&sslrootcert=${authority.certFile}&sslcert=${certFile}&sslkey=${keyFile}`;
    const { url, ssl } = read(given);
    expect(url).toBe('postgres://u@db/d?application_name=x');
    expect(ssl).toMatchObject({ cert: expect.stringContaining('CERTIFICATE'), key: expect.stringContaining('PRIVATE KEY') });
    expect(ssl).toHaveProperty('checkServerIdentity');
    const env = { PGSSLMODE: 'verify-full', PGSSLROOTCERT: authority.certFile, PGHOST: 'db' };
    expect(read('postgres:///d', env).ssl).toMatchObject({ ca: expect.stringContaining('CERTIFICATE') });
    expect(read('postgres:///d', { PGHOST: 'db' }).ssl).not.toBe(false);
    expect(read('postgres://u@db/d', { PGSSLMODE: 'disable' }).ssl).toBe(false);
  });

  test('is refused where it would check nothing, or says what cannot be used', async () => {
    await writeFile(home.file('text.pem'), 'not PEM\n');
    const { certFile, keyFile } = ofNode;
    for (const [parameters, message] of [
      ['sslmode=require', 'does not check'],
      ['sslmode=prefer', 'does not check'],
      ['sslmode=no-verify', 'does not check'],
      ['ssl=true', 'ssl in the address'],
      ['uselibpqcompat=true&sslmode=verify-full', 'uselibpqcompat'],
      ['sslmode=verify-ca', 'needs sslrootcert'],
      ['host=localhost&host=db', 'says host more than once'],
      ['sslmode=verify-full&sslmode=disable', 'says sslmode more than once'],
      [`sslcert=${certFile}`, 'belong together'],
      [`sslrootcert=${home.file('gone.pem')}`, 'cannot read'],
      [`sslcert=${home.file('text.pem')}&sslkey=${keyFile}`, 'cannot use'],
    ] as const)
      expect(() => read(`postgres://u@db/d?${parameters}`), parameters).toThrow(
        expect.objectContaining({ code: 'USAGE', message: expect.stringContaining(message), hint: expect.stringContaining('verify-full') }),
      );
  });
});
