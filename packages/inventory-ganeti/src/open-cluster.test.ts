import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { once } from 'node:events';
import type { InstanceSource, InventoryErrorCode } from '@gantry/core/inventory';
import { makeTemporaryDirectory } from '@gantry/testkit';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { FakeRapi } from '../test/fake-rapi.ts';
import { json, startFakeRapi } from '../test/fake-rapi.ts';
import { PASSWORD, refusal } from '../test/refusal.ts';
import type { Replacements } from '../test/sample-cluster.ts';
import { INST2, sampleAnswers } from '../test/sample-cluster.ts';
import { sample, sampleJob } from '../test/samples.ts';
import inventory from './index.ts';
import type { NodePaths } from './local-cluster.ts';
import { openCluster } from './open-cluster.ts';

interface Opened {
  readonly source: InstanceSource;
  readonly server: FakeRapi;
}

/** Opens the cluster of the samples through RAPI. */
async function openSample(replacements: Replacements = {}): Promise<Opened> {
  const server = await startFakeRapi(await sampleAnswers(replacements));
  onTestFinished(async () => await server[Symbol.asyncDispose]());
  const env = { GANTRY_GANETI_CA: server.certificateFile, GANTRY_GANETI_USER: 'gantry', GANTRY_GANETI_PASSWORD: PASSWORD };
  const source = await inventory.open(new URL(`ganeti://localhost:${server.port}`), { env, warn: () => undefined });
  return { source, server };
}

test('an instance is described as the cluster that was seen says it', async () => {
  const { source } = await openSample();
  const { instance, run, guarded, native, guest } = await source.describe('inst2');
  const { osparams_private: secret, ...facts } = await sample('describe.inst2.json');
  expect(secret).toEqual({ token: 's3cr3t' });
  expect(instance).toEqual({ ...facts, secondary_nodes: [], tags: [], osparams_private: {} });
  expect(run).toEqual({ state: 'stopped' });
  expect(guarded).toEqual(instance.disks?.map(({ path }) => path));
  expect(guest).toBeUndefined();
  expect(native?.map(({ name, secret }) => ({ name, secret }))).toEqual([{ name: 'ganeti.json', secret: false }]);
  expect(JSON.parse(Buffer.from(native?.[0]?.bytes ?? []).toString())).toMatchObject({ name: INST2, network_port: 11_000 });
});

test('an instance is found by its UUID, and listed', async () => {
  const { source } = await openSample();
  const described = await source.describe('3CF6BE9A-51b8-4735-b439-46a24dc9ef26');
  expect(described.instance.name).toBe(INST2);
  const summary = { name: INST2, run: { state: 'stopped' }, os: 'probe+fancy', disks: 2, tags: [], hypervisor: undefined };
  expect(await Array.fromAsync(source.list())).toEqual([summary]);
});

test('names that cannot be those of instances go into no request', async () => {
  const { source, server } = await openSample();
  for (const name of ['../info', 'a/b', '', '*', '%2e%2e', 'inst2?bulk=1'])
    expect(await refusal(() => source.describe(name))).toMatchObject({ code: 'not-found' });
  expect(server.requests).toEqual([]);
  expect(await refusal(() => source.describe('web1'))).toMatchObject({ code: 'not-found', message: 'the cluster has no instance "web1"' });
});

const [INFO, JOB] = [`/2/instances/${INST2}/info`, '/2/jobs/19'];

/* Answers that a real cluster does not give when it is asked to: they come from a fake. */
describe('what a cluster may answer besides', () => {
  test.each<[string, string, unknown, InventoryErrorCode, RegExp]>([
    [
      'a job that failed',
      JOB,
      { id: 19, status: 'error', opstatus: ['error'], opresult: [['OpExecError', ['node1 is ill']]] },
      'failed',
      /node1 is ill/,
    ],
    [
      'an instance that was removed meanwhile',
      JOB,
      { id: 19, status: 'error', opstatus: ['error'], opresult: [['OpPrereqError', ['gone', 'unknown_entity']]] },
      'not-found',
      /gone/,
    ],
    [
      'a job without results',
      JOB,
      { id: 19, status: 'success', opstatus: ['success'], opresult: [] },
      'failed',
      /details of inst2.*the answer is missing/,
    ],
    [
      'details of another instance',
      JOB,
      { id: 19, status: 'success', opstatus: ['success'], opresult: [{ other: {} }] },
      'failed',
      /details of inst2/,
    ],
    ['a job number that is a path', INFO, '19/../../info', 'failed', /not the number of a job/],
    ['a list that is a group', '/2/instances', {}, 'failed', /names of instances: the answer is missing/],
    ['parameters that are a list', '/2/info', { hvparams: [] }, 'failed', /the cluster's parameters: hvparams/],
  ])('%s', async (_what, path, value, code, message) => {
    const { source } = await openSample({ [path]: (_request, response) => json(response, 200, value) });
    expect(await refusal(() => source.describe(INST2))).toMatchObject({ code, message: expect.stringMatching(message) });
  });

  test.each<[string, object, RegExp]>([
    ['a missing field', { nics: undefined }, /nics is missing/],
    ['a field of another type', { disks: [{ dev_type: 'file', mode: 'rw', size: 'big' }] }, /disks\.0\.size is missing, or something else/],
    ['a NIC of an unknown mode', { nics: [[null, null, null, 'aa:00:00:00:00:01', 'wormhole', '', '']] }, /NIC has the mode "wormhole"/],
    [
      'a disk that is not active',
      { disks: [{ dev_type: 'ext', logical_id: ['pvdr', 'x'], mode: 'rw', size: 1 }] },
      /path of disk 0 of inst2.example.com is not known: its template is ext/,
    ],
  ])('%s', async (_what, alteration, message) => {
    const answer = await sampleJob(() => alteration);
    const { source } = await openSample({ [JOB]: (_request, response) => json(response, 200, answer) });
    expect(await refusal(() => source.describe(INST2))).toMatchObject({ code: 'failed', message: expect.stringMatching(message) });
  });

  test('new fields, and an instance without disks', async () => {
    const answer = await sampleJob(({ nics }) => ({
      disks: [],
      disk_template: 'diskless',
      new_field: 1,
      nics: nics.map((nic) => nic.concat('new')),
    }));
    const { source } = await openSample({ [JOB]: (_request, response) => json(response, 200, answer) });
    const { instance } = await source.describe(INST2);
    expect(instance).toMatchObject({ disks: [], disk_template: 'diskless', nics: [{ link: 'br0' }, { link: 'br1' }] });
  });

  test('a server without a list of instances, which is something else than RAPI', async () => {
    const { source } = await openSample({ '/2/instances?bulk=1': (_request, response) => json(response, 404, {}) });
    expect(await refusal(() => Array.fromAsync(source.list()))).toMatchObject({ code: 'source-not-found' });
  });

  test('while a job waits, a call is cancelled at once, and the job with it', async () => {
    const controller = new AbortController();
    const reason = new Error('cancelled');
    const { source, server } = await openSample({
      [JOB]: (request, response) => {
        json(response, 200, request.method === 'GET' ? { id: 19, status: 'waiting', opstatus: ['waiting'] } : [true, 'cancelled']);
        if (request.method === 'GET') setImmediate(() => controller.abort(reason));
      },
    });
    await expect(source.describe(INST2, { signal: controller.signal })).rejects.toBe(reason);
    expect(server.requests.at(-1)).toBe('DELETE /2/jobs/19');
  });
});

describe('the cluster of this node', () => {
  async function node(answer: ((request: string) => string) | undefined, master?: string): Promise<NodePaths> {
    const directory = await makeTemporaryDirectory();
    onTestFinished(async () => await directory[Symbol.asyncDispose]());
    const file = (name: string): string => directory.file(name);
    const paths = { luxiSocket: file('query'), configuration: file('config.data'), masterName: file('master'), kvmControl: file('ctrl') };
    if (master !== undefined) await writeFile(paths.masterName, `${master}\n`);
    if (answer === undefined) return paths;
    const server = createServer((socket) => {
      socket.once('data', (request) => socket.end(answer(request.toString())));
    }).listen(paths.luxiSocket);
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    return paths;
  }

  async function open(paths: NodePaths, env: Record<string, string> = {}): Promise<InstanceSource> {
    return await openCluster(new URL('ganeti:'), { env, warn: () => undefined }, { here: 'node1', paths });
  }

  test('where there is none', async () => {
    const error = await refusal(async () => await open(await node(undefined)));
    expect(error).toMatchObject({ code: 'source-not-found', message: 'this machine is not a node of a Ganeti cluster' });
  });

  test('whose master this is, and whose daemon does not run', async () => {
    const error = await refusal(async () => await open(await node(undefined, 'node1.example.com')));
    expect(error.message).toMatch(/^LUXI at .*: this is not the master of a Ganeti cluster$/);
  });

  test('whose master is another node: RAPI there', async () => {
    const { server } = await openSample();
    const source = await open(await node(undefined, 'localhost'), { GANTRY_GANETI_CA: server.certificateFile });
    expect(source.address).toBe('ganeti:');
    expect(await refusal(() => source.describe('web1'))).toMatchObject({ message: expect.stringContaining('localhost:5080') });
  });

  test.each<[string, string, InventoryErrorCode, RegExp]>([
    ['what is not JSON', 'OK\u0003', 'failed', /^LUXI: the answer is not JSON$/],
    ['something else', '[]\u0003', 'failed', /^LUXI: the answer is not as Ganeti gives it$/],
    ['half an answer', '{"success"', 'unavailable', /^LUXI: the connection broke off$/],
    ['an error', '{"success":false,"result":["GenericError",["queue\\ndrained"]]}\u0003', 'failed', /^LUXI: queue drained$/],
    ['a version of its own', '{"success":false,"result":"LUXI version mismatch"}\u0003', 'failed', /^LUXI: LUXI version mismatch$/],
  ])('whose daemon answers with %s', async (_what, answer, code, message) => {
    const error = await refusal(async () => await open(await node(() => answer, 'node1')));
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
  });
});
