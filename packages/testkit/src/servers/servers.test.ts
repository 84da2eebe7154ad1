import { once } from 'node:events';
import { createServer } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CephServer } from './ceph.ts';
import { startCeph } from './ceph.ts';
import type { FaultProxy } from './fault-proxy.ts';
import { startFaultProxy } from './fault-proxy.ts';
import { createBucket, listUnfinishedUploads, s3Request } from './s3-request.ts';
import type { SwiftServer } from './swift.ts';
import { startSwift } from './swift.ts';

describe('a gateway of Ceph', () => {
  let ceph: CephServer;
  beforeAll(async () => {
    ceph = await startCeph();
    await createBucket(ceph, 'box');
  });
  afterAll(() => ceph[Symbol.asyncDispose]());

  test('keeps objects, only for clients with the right keys', async () => {
    expect((await s3Request(ceph, '/box/a', { method: 'PUT', body: 'text' })).status).toBe(200);
    expect(await s3Request(ceph, '/box/a')).toMatchObject({ status: 200, body: 'text' });
    expect((await s3Request({ ...ceph, secretAccessKey: 'wrong' }, '/box/a')).status).toBe(403);
  });

  test('lists unfinished uploads', async () => {
    expect(await listUnfinishedUploads(ceph, 'box')).toEqual([]);
    await s3Request(ceph, '/box/big?uploads=', { method: 'POST' });
    expect(await listUnfinishedUploads(ceph, 'box')).toEqual(['big']);
  });

  test('has users with a quota', async () => {
    const poor = await ceph.createUser('poor', { quotaBytes: 4096 });
    await createBucket(poor, 'small-box');
    expect((await s3Request(poor, '/small-box/a', { method: 'PUT', body: 'x'.repeat(4000) })).status).toBe(200);
    const refused = await s3Request(poor, '/small-box/b', { method: 'PUT', body: 'x'.repeat(4000) });
    expect(refused).toMatchObject({ status: 403, body: expect.stringContaining('QuotaExceeded') });
  });

  test('can be killed and restarted, and keeps its data', async () => {
    await s3Request(ceph, '/box/before', { method: 'PUT', body: 'kept' });
    await ceph.killGateway();
    await expect(s3Request(ceph, '/box/before')).rejects.toThrow('fetch failed');
    await ceph.startGateway();
    expect(await s3Request(ceph, '/box/before')).toMatchObject({ status: 200, body: 'kept' });
  });
});

describe('Swift', () => {
  let swift: SwiftServer;
  beforeAll(async () => {
    swift = await startSwift();
    await createBucket(swift, 'box');
  });
  afterAll(() => swift[Symbol.asyncDispose]());

  test('keeps objects', async () => {
    expect((await s3Request(swift, '/box/a', { method: 'PUT', body: 'text' })).status).toBe(200);
    expect(await s3Request(swift, '/box/a')).toMatchObject({ status: 200, body: 'text' });
  });
});

describe('the fault proxy', () => {
  const text = 'a body of some length';
  const received: string[] = [];
  const server = createServer((request, response) => {
    request.setEncoding('utf8');
    let body = '';
    request.on('data', (chunk: string) => (body += chunk));
    request.on('end', () => {
      received.push(body);
      response.setHeader('etag', '"real"');
      response.end(text);
    });
  });
  let proxy: FaultProxy;
  beforeAll(async () => {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    proxy = await startFaultProxy(`http://127.0.0.1:${address.port}`);
  });
  afterAll(async () => {
    await proxy[Symbol.asyncDispose]();
    server.close();
  });

  const get = (): Promise<string> => fetch(`${proxy.endpoint}/x`).then((response) => response.text());
  const put = (): Promise<Response> => fetch(`${proxy.endpoint}/x`, { method: 'PUT', body: text });

  test('forwards and records requests without a rule', async () => {
    expect(await get()).toBe(text);
    expect(proxy.seen.at(-1)).toMatchObject({ request: { method: 'GET', path: '/x' }, fault: undefined });
  });

  test('responds with errors instead of the server, a given number of times', async () => {
    const before = received.length;
    proxy.inject({ when: () => true, times: 2, fault: { kind: 'answer', status: 503, code: 'SlowDown' } });
    expect(await get()).toContain('<Code>SlowDown</Code>');
    expect((await fetch(proxy.endpoint)).status).toBe(503);
    expect(received.length).toBe(before);
    expect(await get()).toBe(text);
  });

  test.each([{ kind: 'cut-response', bytes: 5 }, { kind: 'truncate-response', bytes: 5 }, { kind: 'lose-answer' }] as const)(
    'breaks responses: $kind',
    async (fault) => {
      proxy.inject({ when: () => true, times: 1, fault });
      await expect(get()).rejects.toThrow();
      expect(await get()).toBe(text);
    },
  );

  test('cuts requests, so that the server gets none, and damages them, so that it gets another', async () => {
    const before = received.length;
    proxy.inject({ when: ({ method }) => method === 'PUT', times: 1, fault: { kind: 'cut-request', bytes: 5 } });
    await expect(put()).rejects.toThrow();
    expect(received.length).toBe(before);
    proxy.inject({ when: () => true, times: 1, fault: { kind: 'flip-request', byte: 0 } });
    await put();
    expect(received.at(-1)).toBe(`\`${text.slice(1)}`);
  });

  test('changes bits and ETags of responses', async () => {
    proxy.inject({ when: () => true, times: 1, fault: { kind: 'flip-response', byte: 0 } });
    expect(await get()).toBe(`\`${text.slice(1)}`);
    proxy.inject({ when: () => true, times: 1, fault: { kind: 'etag', value: '"other"' } });
    expect((await put()).headers.get('etag')).toBe('"other"');
  });

  test.each(['stall-request', 'stall-response'] as const)('makes requests hang: %s', async (kind) => {
    proxy.inject({ when: () => true, times: 1, fault: { kind, bytes: 0 } });
    const seen = proxy.waitFor(() => true);
    const controller = new AbortController();
    const hanging = fetch(`${proxy.endpoint}/x`, { method: 'PUT', body: text, signal: controller.signal }).then((response) =>
      response.text(),
    );
    await seen;
    controller.abort(new Error('enough'));
    await expect(hanging).rejects.toThrow('enough');
  });
});
