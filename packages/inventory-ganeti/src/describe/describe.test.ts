import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { makeTemporaryDirectory } from '@gantry/testkit';
import { afterAll, expect, test } from 'vitest';
import { sample, sampleJob } from '../../test/samples.ts';
import type { DetailsAnswer } from './answers.ts';
import { parseDetails } from './answers.ts';
import { describeDisks, guardedPlaces } from './disks.ts';
import { findGuestControl } from './guest-control.ts';
import { readPrivateParameters } from './private-parameters.ts';
import { pythonTexts } from './python-text.ts';
import { describedState, listedState } from './run-state.ts';

const directory = await makeTemporaryDirectory();
afterAll(async () => await directory[Symbol.asyncDispose]());

/* A cluster with LVM or DRBD needs device mapper, which is not everywhere: these answers are put together from Ganeti's source. */
const VOLUMES = [
  {
    dev_type: 'plain',
    logical_id: ['xenvg', 'u.disk0_data'],
    pstatus: ['/dev/xenvg/u.disk0_data', 253, 0],
    sstatus: ['/dev/xenvg/u.disk0_data', 253, 4],
    mode: 'rw',
    size: 1024,
  },
  { dev_type: 'plain', logical_id: ['xenvg', 'u.disk0_meta'], pstatus: null, mode: 'rw', size: 128 },
];
const DRBD = {
  dev_type: 'drbd',
  logical_id: ['n1', 'n2', 11_000, 0, 3, null],
  drbd_info: { primary_node: 'node1.example.com', primary_minor: 0, secondary_node: 'node2.example.com', secondary_minor: 3, port: 11_000 },
  pstatus: ['/dev/drbd0', 147, 0, null, null, false, 1],
  sstatus: ['/dev/drbd3', 147, 3, null, null, false, 1],
  children: VOLUMES,
  mode: 'rw',
  size: 1024,
};

async function withDisks(...disks: readonly object[]): Promise<DetailsAnswer> {
  const { opresult } = await sampleJob(() => ({ disks, snodes: ['node2.example.com'] }));
  return parseDetails(opresult, 'inst2.example.com', 'a test').details;
}

test('a DRBD device: its path on the primary node, and what stands under it on the node where it is looked at', async () => {
  const details = await withDisks(DRBD);
  expect(describeDisks(details)).toMatchObject([{ path: '/dev/drbd0', size: 1024, access: 'rw', backend_type: 'block' }]);
  expect(guardedPlaces(details, 'node1')).toEqual(['/dev/drbd0', '/dev/xenvg/u.disk0_data', '/dev/xenvg/u.disk0_meta']);
  expect(guardedPlaces(details, 'node2')).toEqual(['/dev/drbd3', '/dev/xenvg/u.disk0_data', '/dev/xenvg/u.disk0_meta']);
});

test.each([
  ['drbd', { ...DRBD, pstatus: null }, '/dev/drbd0', 'block'],
  ['plain', { ...VOLUMES[0], pstatus: null }, '/dev/xenvg/u.disk0_data', 'block'],
  ['file', { dev_type: 'file', logical_id: ['loop', '/srv/f/disk0'], mode: 'ro', size: 1 }, '/srv/f/disk0', 'file:loop'],
  ['sharedfile', { dev_type: 'sharedfile', logical_id: ['blktap2', '/srv/s/disk0'], mode: 'rw', size: 1 }, '/srv/s/disk0', 'file:blktap2'],
  ['blockdev', { dev_type: 'blockdev', logical_id: ['manual', '/dev/disk/by-id/x'], mode: 'rw', size: 1 }, '/dev/disk/by-id/x', 'block'],
  [
    'rbd that is mapped',
    { dev_type: 'rbd', logical_id: ['rbd', 'x.rbd'], pstatus: ['/dev/rbd0'], mode: 'rw', size: 1 },
    '/dev/rbd0',
    'block',
  ],
])('the path of a disk of the template %s, which is not active', async (_template, disk, path, backend) => {
  expect(describeDisks(await withDisks(disk))).toMatchObject([{ path, backend_type: backend }]);
});

test.each(['ext', 'rbd', 'gluster'])('the path of a disk of the template %s is known only while it is active', async (template) => {
  const details = await withDisks({ dev_type: template, logical_id: ['a', 'b'], mode: 'rw', size: 1 });
  expect(() => describeDisks(details)).toThrow(`the path of disk 0 of inst2.example.com is not known: its template is ${template}`);
});

test("parameters as Python's str has them", () => {
  expect(pythonTexts({ a: true, b: false, c: null, d: 0, e: '', f: '010', g: 1.5, h: ['x'] })).toEqual({
    a: 'True',
    b: 'False',
    c: 'None',
    d: '0',
    e: '',
    f: '010',
    g: '1.5',
    h: '["x"]',
  });
});

const summary = (status: string): Parameters<typeof listedState>[0] => ({ name: 'web1', pnode: 'node1', status });

test.each([
  ['running', 'up', 'running', 'running'],
  ['ERROR_up', 'up', 'running', 'running'],
  ['ADMIN_down', 'down', 'stopped', 'stopped'],
  ['USER_down', 'user down', 'stopped', 'stopped'],
  ['ADMIN_offline', 'offline', 'stopped', 'stopped'],
  ['ERROR_down', 'down', 'stopped', 'stopped'],
  ['ERROR_wrongnode', 'down', 'unknown', 'unknown'],
  ['ERROR_nodedown', null, 'unknown', 'unknown'],
  ['ERROR_nodeoffline', null, 'unknown', 'unknown'],
  ['running', 'down', 'running', 'unknown'],
  ['ADMIN_down', 'up', 'stopped', 'unknown'],
  ['something new', 'something new', 'unknown', 'unknown'],
])('running, with the status %s and the state %s', async (status, state, listed, described) => {
  const details = { ...(await withDisks()), pnode: 'node1', run_state: state };
  expect(listedState(summary(status)).state).toBe(listed);
  expect(describedState(summary(status), details).state).toBe(described);
});

test('private parameters: those of the cluster for the OS, of the variant, of the instance', async () => {
  const uuid = '3cf6be9a-51b8-4735-b439-46a24dc9ef26';
  const path = directory.file('config.data');
  const config = await sample('config.data.json');
  await writeFile(path, JSON.stringify(config));
  expect(await readPrivateParameters(path, uuid, {})).toEqual({ token: 's3cr3t' });
  const defaults = { probe: { token: 'a', key: 'b', flag: true }, 'probe+fancy': { key: 'c' }, other: { x: 'y' } };
  await writeFile(path, JSON.stringify({ ...config, cluster: { osparams_private_cluster: defaults } }));
  expect(await readPrivateParameters(path, uuid, {})).toEqual({ token: 's3cr3t', key: 'c', flag: 'True' });
  await expect(readPrivateParameters(path, '__proto__', {})).rejects.toMatchObject({ code: 'failed' });
});

test.each([
  ['something else', '{"password":"s3cr3t"', /is not JSON$/],
  ['another format', '{"instances":"s3cr3t"}', /is not as Ganeti 3.0 writes it$/],
])('a configuration that is %s', async (_what, text, message) => {
  const path = directory.file('broken.data');
  await writeFile(path, text);
  const error: unknown = await readPrivateParameters(path, 'x', {}).catch((error: unknown) => error);
  expect(error).toMatchObject({ code: 'failed', message: expect.stringMatching(message) });
  expect(JSON.stringify(error)).not.toContain('s3cr3t');
});

test('the control socket of a guest that KVM runs here', async () => {
  const socket = directory.file('web1.qmp');
  const server = createServer().listen(socket);
  await once(server, 'listening');
  const query = {
    name: 'web1',
    hypervisor: 'kvm',
    run: { state: 'running', node: 'node1.example.com' },
    here: 'node1',
    directory: directory.path,
  } as const;
  expect(await findGuestControl(query)).toEqual({ kind: 'qmp', socket });
  for (const other of [{ here: 'node2' }, { hypervisor: 'xen-pvm' }, { run: { state: 'stopped' } }, { name: 'web2' }] as const)
    expect(await findGuestControl({ ...query, ...other })).toBeUndefined();
  server.close();
});
