import { writeFile } from 'node:fs/promises';
import type { NewInstanceRequest } from '@gantry/core/inventory';
import { expect, onTestFinished, test, vi } from 'vitest';
import type { Answer } from '../../test/fake-rapi.ts';
import { json, startFakeRapi } from '../../test/fake-rapi.ts';
import { RapiClient } from '../rapi/rapi-client.ts';
import { findTrust } from '../rapi/trust.ts';
import { GanetiTransfers } from './transfers.ts';

/* Answers that a real RAPI does not give when it is asked to, or gives too late for a test. */

const REQUEST: NewInstanceRequest = {
  instance: {
    name: 'web9.example.com',
    os: 'raw',
    hypervisor: 'kvm',
    primary_node: 'node1.example.com',
    secondary_nodes: [],
    tags: [],
    disks: [{ size: 8, access: 'rw' }],
    nics: [],
    osparams: {},
    osparams_private: {},
    beparams: {},
    hvparams: {},
  },
  originalName: 'web1.example.com',
  nodes: [],
  token: 'gantry-1',
};

async function transfersOf(answer: Answer): Promise<GanetiTransfers> {
  const server = await startFakeRapi(answer);
  onTestFinished(async () => await server[Symbol.asyncDispose]());
  const secret = server.file('secret');
  await writeFile(secret, 'a secret\n', { mode: 0o600 });
  const trust = await findTrust({ ca: server.certificateFile, fingerprints: undefined, env: {} });
  const at = { host: 'localhost', port: server.port };
  const client = new RapiClient({ ...at, trust, timeoutMs: 60_000, credentials: undefined });
  return new GanetiTransfers({ ...at, client, env: { GANTRY_GANETI_DOMAIN_SECRET: secret } });
}

/** A cluster that has no instance, and does this when it is asked for a new one. */
function emptyCluster(onCreate: Answer): Answer {
  return (request, response) => {
    if (request.method === 'POST') onCreate(request, response);
    else if (request.url === '/2/os') json(response, 200, ['raw']);
    else json(response, 404, { code: 404, message: 'Not Found' });
  };
}

const warn = (): void => {};

test('an instance may appear after a request for it that was not answered', async () => {
  const transfers = await transfersOf(emptyCluster((request) => request.socket.destroy()));
  await expect(transfers.create(REQUEST, { warn })).rejects.toMatchObject({ code: 'unavailable' });
  expect(await transfers.discard('web9.example.com', 'gantry-1')).toBe('may-appear');
});

test('none appears after a request that was refused', async () => {
  const transfers = await transfersOf(emptyCluster((_request, response) => json(response, 403, { code: 403, message: 'Forbidden' })));
  await expect(transfers.create(REQUEST, { warn })).rejects.toMatchObject({ code: 'denied' });
  expect(await transfers.discard('web9.example.com', 'gantry-1')).toBe('nothing');
});

test('none appears that was not asked for, although the cluster is away by then', async () => {
  const transfers = await transfersOf((_request, response) => json(response, 500, { code: 500, message: 'broken' }));
  await expect(transfers.create(REQUEST, { warn })).rejects.toMatchObject({ code: 'failed' });
  expect(await transfers.discard('web9.example.com', 'gantry-1')).toBe('nothing');
});

test('an export that waits for locks of another job is given up', async () => {
  let now = 0;
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => now);
  onTestFinished(() => clock.mockRestore());
  const transfers = await transfersOf((request, response) => {
    if (request.method !== 'GET') json(response, 200, 7);
    else if (request.url?.startsWith('/2/instances/') === true) json(response, 200, { name: 'web1.example.com', 'disk.sizes': [8] });
    else {
      now += 10 * 60 * 1000;
      json(response, 200, { id: 7, status: 'waiting', opstatus: ['waiting'] });
    }
  });
  await expect(transfers.send('web1.example.com', { warn, listen: '127.0.0.1' })).rejects.toMatchObject({
    code: 'unavailable',
    message: 'job 7 to prepare the export of web1.example.com is not finished after 900 s: it waits for locks of another job',
  });
});
