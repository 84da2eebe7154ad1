import { once } from 'node:events';
import { createServer } from 'node:http';
import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { listUnfinishedUploads, s3Request, startFaultProxy } from '@gantry/testkit';
import type { Store } from '@gantry/transport';
import { openS3Store } from './open-s3-store.ts';
import { startLab } from '../test/lab.ts';
import { MiB, begin, bytesOf, digestOf, inPieces, read, write } from '../test/objects.ts';
import { openWith } from '../test/open-bucket.ts';

const { ceph, bucket, proxy } = await startLab();

/** The errors of what a user does first with a store: list or write. */
async function failureOf(open: () => Promise<Store>): Promise<{ readonly listing: unknown; readonly writing: unknown }> {
  const failed = async (use: (store: Store) => Promise<unknown>): Promise<unknown> => {
    try {
      await using store = await open();
      await use(store);
    } catch (error) {
      return error;
    }
    throw new Error('expected an error');
  };
  return {
    listing: await failed((store) => Array.fromAsync(store.list(''))),
    writing: await failed((store) => write(store, 'k', Buffer.of(1))),
  };
}

async function expectBoth(open: () => Promise<Store>, expected: object): Promise<void> {
  const { listing, writing } = await failureOf(open);
  expect(listing).toMatchObject(expected);
  expect(writing).toMatchObject(expected);
}

const address = (name: string, options: Readonly<Record<string, string>>): URL =>
  new URL(`s3://${name}/exports/?${new URLSearchParams({ retrySeconds: '1', ...options }).toString()}`);

describe('the error is clear for', () => {
  test('a bucket that does not exist', async () => {
    await expectBoth(() => openWith(address('no-such-bucket', { endpoint: ceph.endpoint }), ceph), {
      code: 'not-found',
      message: expect.stringContaining('the bucket does not exist'),
    });
  });

  test('an endpoint where nothing listens', async () => {
    const endpoint = await (async () => {
      await using gone = await startFaultProxy(ceph.endpoint);
      return gone.endpoint;
    })();
    await expectBoth(() => openWith(address(bucket.name, { endpoint }), ceph), {
      code: 'unavailable',
      message: expect.stringContaining('ECONNREFUSED'),
      hint: expect.stringContaining('endpoint='),
    });
  });

  test('an unknown host', async () => {
    await expectBoth(() => openWith(address(bucket.name, { endpoint: 'http://no-such-host.invalid' }), ceph), {
      code: 'invalid-address',
      hint: expect.stringContaining('endpoint='),
    });
  });

  test('an endpoint that does not speak S3', async () => {
    const server = createServer((_request, response) => response.end('<html>Welcome</html>'));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const bound = server.address();
    const endpoint = `http://127.0.0.1:${typeof bound === 'object' ? bound?.port : ''}`;
    const env = { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' };
    // It warns about what may be left, because it cannot check.
    const open = (): Promise<Store> => openS3Store(address(bucket.name, { endpoint }), { cwd: '/', env, warn: () => undefined });
    await expectBoth(open, { code: expect.stringMatching(/^(unavailable|unsupported|integrity)$/) });
    server.closeAllConnections();
    server.close();
  });

  test('an endpoint whose answer never ends', async () => {
    const server = createServer((_request, response) => {
      Readable.from(
        (function* () {
          for (;;) yield Buffer.alloc(MiB, ' ');
        })(),
      )
        .on('error', () => undefined)
        .pipe(response);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const bound = server.address();
    const endpoint = `http://127.0.0.1:${typeof bound === 'object' ? bound?.port : ''}`;
    await using store = await openWith(address(bucket.name, { endpoint, conditionalWrites: 'none' }), ceph);
    await expect(Array.fromAsync(store.list(''))).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining(' 8 MiB'),
    });
    server.closeAllConnections();
    server.close();
  });

  test('another region', async () => {
    const end = proxy.inject({
      when: () => true,
      fault: { kind: 'answer', status: 400, code: 'AuthorizationHeaderMalformed', fields: { Region: 'eu-west-1' } },
    });
    const { listing, writing } = await failureOf(() => openWith(address(bucket.name, { endpoint: proxy.endpoint }), ceph));
    end();
    expect(listing).toMatchObject({ code: 'invalid-address', hint: expect.stringContaining('region=eu-west-1') });
    // It starts with a HEAD, whose answer has no document that could name the region.
    expect(writing).toMatchObject({ hint: expect.stringContaining('region=') });
  });

  test('a profile that does not exist', async () => {
    const env = { AWS_EC2_METADATA_DISABLED: 'true', AWS_PROFILE: 'no-such-profile' };
    const open = (): Promise<Store> =>
      openS3Store(address(bucket.name, { endpoint: ceph.endpoint }), { cwd: '/', env, warn: () => undefined });
    await expectBoth(open, { code: 'invalid-address', hint: expect.stringContaining('AWS_ACCESS_KEY_ID') });
  });

  test.each([
    ['an access key that the service does not know', { accessKeyId: 'nobody', secretAccessKey: 'x' }],
    ['a wrong secret', { accessKeyId: 'labkey', secretAccessKey: 'wrong' }],
  ])('%s, without repeating it', async (_, credentials) => {
    const { listing, writing } = await failureOf(() => openWith(address(bucket.name, { endpoint: ceph.endpoint }), credentials));
    for (const error of [listing, writing]) {
      expect(error).toMatchObject({ code: 'denied', hint: expect.stringMatching(/AWS_ACCESS_KEY_ID|AWS_SECRET_ACCESS_KEY/) });
      expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain(`"${credentials.secretAccessKey}"`);
    }
  });

  test('a certificate of an unknown authority', async () => {
    await expectBoth(() => openWith(address(bucket.name, { endpoint: ceph.tlsEndpoint }), ceph), {
      code: 'denied',
      hint: expect.stringContaining('caFile='),
    });
  });

  test('a service without multipart uploads', async () => {
    await using store = await bucket.open({ retrySeconds: '1' }, proxy.endpoint);
    const end = proxy.inject({ when: ({ query }) => query.has('uploads'), fault: { kind: 'answer', status: 501, code: 'NotImplemented' } });
    await expect(write(store, 'large', bytesOf('large', 20 * MiB))).rejects.toMatchObject({ code: 'unsupported' });
    end();
  });

  test('an archived object', async () => {
    await using store = await bucket.open({}, proxy.endpoint);
    await write(store, 'archived', bytesOf('archived', 1000));
    const end = proxy.inject({
      when: ({ method, path }) => method === 'GET' && path.endsWith('/archived'),
      fault: { kind: 'answer', status: 403, code: 'InvalidObjectState' },
    });
    await expect(read(store, 'archived')).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('archived'),
      hint: expect.stringContaining('restore-object'),
    });
    end();
  });
});

describe('an object that is read while', () => {
  const bytes = bytesOf('before', 40 * MiB);

  test.each([
    ['it is replaced', (store: Store) => write(store, 'moving', bytesOf('after', 40 * MiB), { ifExists: 'replace' }), 'replaced'],
    ['it is removed', (store: Store) => store.remove(['moving']), 'removed'],
  ])('%s is not mixed', async (_, change, said) => {
    await using store = await bucket.open({ memory: '8MiB', concurrency: '1' });
    await write(store, 'moving', bytes, { ifExists: 'replace' });
    await using source = await store.read('moving');
    const reading = (async () => {
      let changed = false;
      for await (const _chunk of source) {
        if (!changed) await change(store);
        changed = true;
      }
    })();
    await expect(reading).rejects.toMatchObject({ code: 'integrity', message: expect.stringContaining(said) });
  });
});

describe('a service that serves ranges in its own way', () => {
  const bytes = bytesOf('ranges', 20 * MiB);

  /** How many bytes are read from a server that answers each GET as `answer` says, given the requested range. */
  async function readFrom(
    answer: (from: number, to: number) => { readonly status: number; readonly headers: Record<string, string>; readonly body: Buffer },
  ): Promise<number> {
    const server = createServer((request, response) => {
      const [, from, to] = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '') ?? [];
      const { status, headers, body } = answer(Number(from), Math.min(Number(to) + 1, bytes.length));
      response.writeHead(status, { etag: '"one"', 'content-length': body.length, ...headers }).end(body);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    try {
      const bound = server.address();
      const endpoint = `http://127.0.0.1:${typeof bound === 'object' ? bound?.port : ''}`;
      await using store = await openWith(address('bucket', { endpoint, conditionalWrites: 'none' }), ceph);
      return (await read(store, 'k')).length;
    } finally {
      server.closeAllConnections();
      server.close();
    }
  }

  test('and ignores If-Match: bytes of an object that replaced the first one are never mixed in', async () => {
    const answer = (from: number, to: number): ReturnType<Parameters<typeof readFrom>[0]> => ({
      status: 206,
      headers: { 'content-range': `bytes ${from}-${to - 1}/${bytes.length}`, etag: from === 0 ? '"one"' : '"two"' },
      body: bytes.subarray(from, to),
    });
    await expect(readFrom(answer)).rejects.toMatchObject({ code: 'integrity', message: expect.stringContaining('was replaced') });
  });

  test('and does not say how large the object is: its first range is not taken for the complete object', async () => {
    const answer = (from: number, to: number): ReturnType<Parameters<typeof readFrom>[0]> => ({
      status: 206,
      headers: { 'content-range': `bytes ${from}-${to - 1}/*` },
      body: bytes.subarray(from, to),
    });
    await expect(readFrom(answer)).rejects.toMatchObject({ code: 'unsupported', hint: expect.stringContaining('ranges') });
  });

  test('and sends the complete object every time: refused, because only its start could be read', async () => {
    await expect(readFrom(() => ({ status: 200, headers: {}, body: bytes }))).rejects.toMatchObject({ code: 'unsupported' });
  });
});

test('a quota that is reached during an upload ends it with that error and leaves nothing', async () => {
  const user = await ceph.createUser('small', { quotaBytes: 24 * MiB });
  await s3Request(user, '/quota-bucket', { method: 'PUT' });
  await using store = await openWith(address('quota-bucket', { endpoint: ceph.endpoint, firstPartSize: '5MiB' }), user);
  await expect(write(store, 'disk0', bytesOf('quota', 64 * MiB))).rejects.toMatchObject({
    code: 'full',
    message: expect.stringContaining('QuotaExceeded'),
  });
  expect(await listUnfinishedUploads(user, 'quota-bucket')).toEqual([]);
  expect(await Array.fromAsync(store.list(''))).toEqual([]);
});

test('an upload and a read survive a gateway that is killed and started again', async () => {
  await using store = await bucket.open({ firstPartSize: '5MiB', stallSeconds: '5' });
  const bytes = bytesOf('restart', 48 * MiB);
  const restart = async (): Promise<void> => {
    await ceph.killGateway();
    await ceph.startGateway();
  };
  await using pending = await begin(store, 'survivor');
  await pending.append(inPieces(bytes.subarray(0, 20 * MiB)));
  await Promise.all([restart(), pending.append(inPieces(bytes.subarray(20 * MiB)))]);
  await pending.commit(digestOf(bytes));

  const parts: Buffer[] = [];
  await using source = await store.read('survivor');
  for await (const chunk of source) {
    if (parts.length === 0) await restart();
    parts.push(Buffer.from(chunk));
  }
  expect(Buffer.concat(parts).equals(bytes)).toBe(true);
  expect(await listUnfinishedUploads(ceph, bucket.name)).toEqual([]);
});
