import { createHash } from 'node:crypto';
import type { RequestListener } from 'node:http';
import { request as sendRequest } from 'node:http';
import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import type { S3Server } from '@gantry/testkit';
import { createBucket } from '@gantry/testkit';
import { parseAddress } from './address/address.ts';
import { Bucket } from './requests/bucket.ts';
import { makeClients } from './requests/clients.ts';
import { sendPart } from './write/multipart.ts';
import { openS3Store } from './open-s3-store.ts';
import { startLab } from '../test/lab.ts';
import { MiB, begin, bytesOf, digestOf, inPieces, read, write } from '../test/objects.ts';
import { KEYS, failureOfListing, openAt } from '../test/open-anywhere.ts';
import { serve } from '../test/serve.ts';

const { ceph, bucket, proxy } = await startLab();
await createBucket(ceph, 'bucket');

const keysOf = ({ accessKeyId, secretAccessKey }: S3Server): Record<string, string> => ({
  AWS_ACCESS_KEY_ID: accessKeyId,
  AWS_SECRET_ACCESS_KEY: secretAccessKey,
});

const BARE = 'd41d8cd98f00b204e9800998ecf8427e';
const HTML = { 'content-type': 'text/html; charset=utf-8' };
const XML = { 'content-type': 'application/xml' };
const page = (title: string): string => `<html><head><title>${title}</title></head><body><h1>${title}</h1><hr>nginx<br></body></html>`;
const error = (code: string, more = ''): string => `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code>${more}</Error>`;

/** A service that gives the same answer to every request. No real one that we have can be misconfigured like this. */
const always =
  (status: number, headers: Record<string, string>, body: string): RequestListener =>
  (request, response) => {
    request.resume();
    response.writeHead(status, headers).end(request.method === 'HEAD' ? undefined : body);
  };

describe('the error names the true cause when the endpoint', () => {
  test.each<[string, RequestListener, object]>([
    [
      'sends http:// to https://',
      always(301, { ...HTML, location: 'https://s3.example.com/backups' }, page('301 Moved Permanently')),
      {
        code: 'invalid-address',
        message: expect.stringContaining('redirects to https://s3.example.com'),
        hint: expect.stringContaining('endpoint=https://s3.example.com'),
      },
    ],
    [
      'is the sign-on page of a network (a captive portal)',
      always(302, { ...HTML, location: 'http://login.example.com/?from=x' }, page('Sign in')),
      { code: 'invalid-address', message: expect.stringContaining('redirects to http://login.example.com (') },
    ],
    [
      'is a web page',
      always(200, HTML, page('Welcome')),
      { code: 'unsupported', message: expect.stringContaining('does not speak the S3 API'), hint: expect.stringContaining('endpoint=') },
    ],
    [
      'is the bucket in another region',
      always(301, { ...XML, 'x-amz-bucket-region': 'eu-west-1' }, error('PermanentRedirect')),
      { code: 'invalid-address', hint: expect.stringContaining('region=eu-west-1') },
    ],
    [
      'is a firewall',
      always(403, HTML, page('403 Forbidden')),
      {
        code: 'denied',
        message: expect.stringContaining('in front of the service denies access'),
        hint: expect.not.stringContaining('policies'),
      },
    ],
    [
      'is a web server',
      always(404, HTML, page('404 Not Found')),
      { code: 'invalid-address', message: expect.stringContaining('a web server, not an S3 service') },
    ],
    [
      'is a proxy that requires a password',
      always(407, HTML, page('407')),
      { code: 'denied', message: expect.stringContaining('proxy requires') },
    ],
    ['refuses the size of the headers', always(431, {}, ''), { code: 'denied', hint: expect.stringContaining('AWS_SESSION_TOKEN') }],
    [
      'takes the bucket for an object, because the endpoint contains it already',
      always(404, XML, error('NoSuchKey', '<BucketName>backups</BucketName>')),
      {
        code: 'not-found',
        message: expect.stringContaining('does not treat this name as a bucket'),
        hint: expect.stringContaining('endpoint='),
      },
    ],
    [
      'requires the bucket in the host name',
      always(403, XML, error('SecondLevelDomainForbidden')),
      { code: 'invalid-address', hint: expect.stringContaining('pathStyle=false') },
    ],
    [
      'says that the clock is wrong',
      always(403, XML, error('RequestTimeTooSkewed')),
      { code: 'denied', message: expect.stringContaining("this machine's clock"), hint: expect.stringContaining('NTP') },
    ],
    [
      'says that the token has expired',
      always(400, XML, error('ExpiredToken')),
      { code: 'denied', message: expect.stringContaining('expired'), hint: expect.stringContaining('aws sso login') },
    ],
    [
      'is not an HTTP server: its answer makes no sense',
      (request) => void request.socket.end('SSH-2.0-OpenSSH_9.2\r\n'),
      { code: 'invalid-address', hint: expect.stringContaining('endpoint=') },
    ],
  ])('%s', async (_, listener, expected) => {
    await using server = await serve(listener);
    expect(await failureOfListing(() => openAt(server.endpoint, { conditionalWrites: 'none' }))).toMatchObject(expected);
  });

  test('limits the size of requests, which is not a quota', async () => {
    await using limited = await serve((request, response) => {
      if (Number(request.headers['content-length'] ?? 0) <= MiB) {
        request.resume();
        const id = request.url?.includes('uploads') === true;
        response.writeHead(request.method === 'HEAD' ? 404 : 200, XML);
        response.end(id ? '<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>' : undefined);
        return;
      }
      request.resume();
      response.writeHead(413, HTML).end(page('413 Request Entity Too Large'));
    });
    await using store = await openAt(limited.endpoint, { conditionalWrites: 'full' });
    await using pending = await begin(store, 'k');
    const bytes = bytesOf('413', 9 * MiB);
    await expect(
      (async () => {
        await pending.append(inPieces(bytes));
        await pending.commit(digestOf(bytes));
      })(),
    ).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('does not accept requests of this size'),
      hint: expect.stringMatching(/client_max_body_size.*partSize=/),
    });
  });

  test('cannot be sent a line end in the middle of a key: the error is about the key, not the endpoint', async () => {
    for (const [env, what] of [
      [{ ...KEYS, AWS_ACCESS_KEY_ID: 'a\nb' }, 'the access key'],
      [{ ...KEYS, AWS_SESSION_TOKEN: 'a\u0001b' }, 'the session token'],
    ] as const) {
      const failure = await failureOfListing(() => openAt(ceph.endpoint, {}, env));
      expect(failure).toMatchObject({
        code: 'denied',
        message: expect.stringContaining(what),
        hint: expect.not.stringContaining('endpoint'),
      });
    }
  });

  test('has a caFile without a certificate', async () => {
    await expect(openAt(ceph.tlsEndpoint, { caFile: '/etc/hostname' })).rejects.toMatchObject({
      code: 'invalid-address',
      message: expect.stringContaining('/etc/hostname does not contain a certificate'),
    });
  });
});

describe('a proxy of the environment', () => {
  test('is asked with the complete address for http:// and for a tunnel for https://, and is named when it fails', async () => {
    const asked: string[] = [];
    const relay = await serve((request, response) => {
      asked.push(`${request.method} ${request.url?.replace(/\?.*/, '')}`);
      request.resume();
      response.writeHead(502).end();
    });
    await using _ = relay;
    const env = { ...KEYS, HTTP_PROXY: relay.endpoint.replace('//', '//user:TOPSECRET@'), HTTPS_PROXY: relay.endpoint };
    for (const [scheme, variable] of [
      ['http', 'HTTP_PROXY'],
      ['https', 'HTTPS_PROXY'],
    ]) {
      const failure = await failureOfListing(() => openAt(`${scheme}://s3.example.invalid`, { conditionalWrites: 'none' }, env));
      const { host } = new URL(relay.endpoint);
      expect(failure).toMatchObject({ code: 'unavailable', message: expect.stringContaining(`through the proxy ${host} (${variable})`) });
      expect(JSON.stringify(failure, Object.getOwnPropertyNames(failure))).not.toContain('TOPSECRET');
    }
    expect(new Set(asked)).toEqual(new Set(['GET http://s3.example.invalid/backups/']));
  });

  test.each(['http', 'https'] as const)('carries bytes both ways over %s, to a bucket in the host name', async (scheme) => {
    const hosts = new Set<string>();
    const port = Number(new URL(scheme === 'http' ? ceph.endpoint : ceph.tlsEndpoint).port);
    // Stands in for a proxy daemon, which this machine does not have; sends everything to the real gateway.
    await using relay = await startProxy((host) => hosts.add(host), port);
    await using store = await openS3Store(
      new URL(`s3://bucket/exports?endpoint=${scheme}://localhost:${port}&pathStyle=false&caFile=${ceph.caFile}`),
      {
        cwd: '/',
        env: { ...keysOf(ceph), [`${scheme.toUpperCase()}_PROXY`]: relay.endpoint },
        warn: () => undefined,
      },
    );
    const bytes = bytesOf(scheme, 9 * MiB);
    expect(hosts).toEqual(new Set([`bucket.localhost:${port}`]));
    await write(store, scheme, bytes);
    expect((await read(store, scheme)).equals(bytes)).toBe(true);
  });
});

/** An HTTP proxy, with tunnels, that sends everything to one port of this machine. */
function startProxy(onHost: (host: string) => void, port: number): ReturnType<typeof serve> {
  return serve(
    (request, response) => {
      const { host, pathname, search } = new URL(request.url ?? '');
      onHost(host);
      const { method, headers } = request;
      const forwarded = sendRequest({ port, host: '127.0.0.1', method, path: pathname + search, headers, agent: false }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      });
      request.pipe(forwarded);
    },
    (request, client) => {
      onHost(request.url ?? '');
      const upstream = connect(port, '127.0.0.1', () => client.write('HTTP/1.1 200 Connection established\r\n\r\n'));
      upstream.pipe(client).pipe(upstream);
      for (const socket of [upstream, client]) socket.on('error', () => undefined);
    },
  );
}

describe('a service whose ETags', () => {
  test.each([
    ['are in capitals', (etag: string) => etag.toUpperCase()],
    ['are marked as weak by a proxy', (etag: string) => `W/${etag}`],
    ['have no quotation marks', (etag: string) => etag.replaceAll('"', '')],
  ])('%s has what was sent', async (name, change) => {
    await using store = await bucket.open({}, proxy.endpoint);
    const bytes = bytesOf(name, 20 * MiB);
    const end = proxy.inject({ when: ({ method }) => method === 'HEAD', fault: { kind: 'etag', change } });
    const key = name.replaceAll(' ', '_');
    await write(store, key, bytes);
    await store.remove([key]);
    end();
    expect(proxy.seen.filter(({ fault }) => fault === 'etag').length).toBeGreaterThan(0);
  });

  test('are in capitals in the answer to a part too, and still reveal damage', async () => {
    await using server = await serve((request, response) => {
      request.resume();
      const part = request.url?.includes('partNumber') === true;
      if (part) return void response.writeHead(200, { etag: `"${createHash('md5').update('part').digest('hex').toUpperCase()}"` }).end();
      response.end();
    });
    const clients = await makeClients(parseAddress(new URL(`s3://backups/exports?endpoint=${server.endpoint}`)), KEYS);
    using _ = clients;
    const to = new Bucket(clients, parseAddress(new URL(`s3://backups/exports?endpoint=${server.endpoint}`)));
    const send = (sent: string): Promise<unknown> => {
      const md5 = createHash('md5').update(sent).digest('hex');
      return sendPart(to, { key: 'k', uploadId: 'u' }, { number: 1, body: Buffer.from(sent), md5 }, new AbortController().signal);
    };
    await expect(send('part')).resolves.toMatchObject({ number: 1 });
    await expect(send('else')).rejects.toMatchObject({ code: 'integrity' });
  });

  test('change in case from one range to the next still has one object, and If-Match is never weak', async () => {
    const bytes = bytesOf('ranges', 20 * MiB);
    const conditions = new Set<unknown>();
    await using server = await serve((request, response) => {
      conditions.add(request.headers['if-match']);
      const [, from = '0', to = ''] = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '') ?? [];
      const body = bytes.subarray(Number(from), Number(to) + 1);
      const etag = from === '0' ? `W/"${BARE}"` : `"${BARE.toUpperCase()}"`;
      response.writeHead(206, {
        etag,
        'content-length': body.length,
        'content-range': `bytes ${from}-${Number(from) + body.length - 1}/${bytes.length}`,
      });
      response.end(body);
    });
    await using store = await openAt(server.endpoint, { conditionalWrites: 'none' });
    expect((await read(store, 'k')).equals(bytes)).toBe(true);
    expect(conditions).toEqual(new Set([undefined, `"${BARE}"`]));
  });
});
