import { GetBucketVersioningCommand } from '@aws-sdk/client-s3';
import type { Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import type { ProxiedRequest } from '@gantry/testkit';
import { listUnfinishedUploads, startFaultProxy } from '@gantry/testkit';
import { parseAddress } from './address/address.ts';
import { Bucket } from './requests/bucket.ts';
import { makeClients } from './requests/clients.ts';
import { openS3Store } from './open-s3-store.ts';
import { startLab } from '../test/lab.ts';
import { makeBucket } from '../test/open-bucket.ts';
import { MiB, begin, bytesOf, digestOf, inPieces, read, write } from '../test/objects.ts';
import { KEYS, failureOfListing, openAt } from '../test/open-anywhere.ts';
import { serve, serveTcp } from '../test/serve.ts';

const { ceph } = await startLab();

const SILENT = {
  code: 'unavailable',
  message: expect.stringContaining('did not answer in time'),
  hint: expect.stringContaining('stallSeconds='),
};

/* A busy service gets at least 15 s, so that most of this takes 15 to 35 s, and nearly no work: all at once, the longest first. */
describe.concurrent('the waiting ends', () => {
  const IMPATIENT = { stallSeconds: '1', retrySeconds: '1', firstPartSize: '5MiB' };
  const bytes = bytesOf('stalls', 12 * MiB);
  const isData = ({ method, query, path }: ProxiedRequest): boolean =>
    method === 'GET' && !query.has('list-type') && path.endsWith('/there');

  test('for an export whose service falls silent: it fails, and so does the cleanup, with a warning', async () => {
    const warnings: string[] = [];
    const bucket = await makeBucket(ceph);
    await using proxy = await startFaultProxy(ceph.endpoint);
    await using store = await openS3Store(bucket.address(IMPATIENT, proxy.endpoint), {
      cwd: '/',
      env: { AWS_ACCESS_KEY_ID: bucket.server.accessKeyId, AWS_SECRET_ACCESS_KEY: bucket.server.secretAccessKey },
      warn: (message) => warnings.push(message),
    });
    let end = (): void => undefined;
    {
      await using pending = await begin(store, 'silent');
      end = proxy.inject({ when: () => true, fault: { kind: 'silence' } });
      await expect(pending.append(inPieces(bytes)).then(() => pending.commit(digestOf(bytes)))).rejects.toMatchObject({
        code: 'unavailable',
      });
    }
    expect(warnings).toEqual([expect.stringMatching(/cannot clean up after writing s3:.*silent: .*did not answer in time/)]);
    end();
    // What was left can be found and cleared as soon as the service answers again.
    await store.clear((await Array.fromAsync(store.pending(''))).map(({ token }) => token));
    expect(await listUnfinishedUploads(bucket.server, bucket.name)).toEqual([]);
  });

  test('for an import whose object stalls in the middle', async () => {
    const bucket = await makeBucket(ceph);
    await using proxy = await startFaultProxy(ceph.endpoint);
    await using store = await bucket.open(IMPATIENT, proxy.endpoint);
    await write(store, 'there', bytes);
    const end = proxy.inject({ when: isData, fault: { kind: 'stall-response', bytes: 1_000_000 } });
    // Every attempt transfers some bytes, and the next one continues after them.
    const stopped = proxy.inject({
      when: (request) => isData(request) && !String(request.headers['range']).startsWith('bytes=0-'),
      fault: { kind: 'stall-response', bytes: 0 },
    });
    await expect(read(store, 'there')).rejects.toMatchObject({ code: 'unavailable' });
    end();
    stopped();
  });

  test('if a service never finishes the TLS handshake', async () => {
    await using server = await serveTcp(() => undefined);
    const endpoint = server.endpoint.replace('http:', 'https:');
    expect(await failureOfListing(() => openAt(endpoint, { stallSeconds: '1', conditionalWrites: 'none' }))).toMatchObject(SILENT);
  });

  test.each<[string, (socket: Socket) => void]>([
    ['if a service accepts and never answers', () => undefined],
    ['if a service sends half of an answer', (socket) => void socket.write('HTTP/1.1 200 OK\r\nContent-Ty')],
    ['if a service sends a header, and then nothing', (socket) => void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n')],
    [
      'if a service sends a header of an error, and then nothing',
      (socket) => void socket.write('HTTP/1.1 403 Forbidden\r\nContent-Length: 1000\r\n\r\n'),
    ],
  ])('%s', async (_, take) => {
    await using server = await serveTcp((socket) => socket.once('data', () => take(socket)));
    expect(await failureOfListing(() => openAt(server.endpoint, { stallSeconds: '1', conditionalWrites: 'none' }))).toMatchObject(SILENT);
  });

  test.each(['http', 'https'])('if a service is behind a proxy that never answers, over %s', async (scheme) => {
    await using server = await serveTcp(() => undefined);
    const env = { ...KEYS, ALL_PROXY: server.endpoint };
    const open = (): ReturnType<typeof openAt> =>
      openAt(`${scheme}://s3.example.invalid`, { stallSeconds: '1', conditionalWrites: 'none' }, env);
    expect(await failureOfListing(open)).toMatchObject({
      ...SILENT,
      message: expect.stringMatching(/through the proxy .*did not answer in time/),
    });
  });

  test('if a service sends a byte now and then and never ends', async () => {
    await using server = await serve((request, response) => {
      request.resume();
      const drip = setInterval(() => response.write(' '), 50);
      response.writeHead(200, { 'content-type': 'application/xml' }).on('close', () => clearInterval(drip));
    });
    const address = parseAddress(new URL(`s3://backups/exports?endpoint=${server.endpoint}&retrySeconds=1`));
    using clients = await makeClients(address, KEYS);
    const dripping = new Bucket(clients, address);
    const request = { doing: 'asking', key: '', patienceMs: 500 };
    await expect(
      dripping.request(request, (send) => clients.usual.send(new GetBucketVersioningCommand({ Bucket: 'backups' }), send)),
    ).rejects.toMatchObject(SILENT);
  });
});
