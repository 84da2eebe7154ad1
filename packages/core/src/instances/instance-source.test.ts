import { hostname } from 'node:os';
import { describe, expect, test } from 'vitest';
import { GantryError } from '../report/errors.ts';
import { asInventoryFailure, assertDisksHere, describeFrom, listFrom } from './instance-source.ts';
import type { InstanceDescription } from './inventory.ts';
import { memorySource } from './testing/memory-inventory.ts';

const WEB1: InstanceDescription = {
  instance: { name: 'web1.example.com', os: 'raw', hypervisor: 'kvm', uuid: undefined, disks: [{ path: '/a', size: undefined }] },
  run: { state: 'stopped' },
  guarded: [],
};

describe('describeFrom', () => {
  test('completes what an inventory says, as of an instance file', async () => {
    const { instance, source } = await describeFrom(memorySource([WEB1]), 'web1');
    expect(instance).toMatchObject({ name: 'web1.example.com', tags: [], disks: [{ path: '/a', access: 'rw' }] });
    expect(instance.primary_node).not.toBe('');
    expect(instance).not.toHaveProperty('uuid');
    expect(source).toBe('memory:');
  });

  test('refuses what an instance file may not say, and names instance and source', async () => {
    const source = memorySource([{ ...WEB1, instance: { ...WEB1.instance, os: '' } }]);
    await expect(describeFrom(source, 'web1')).rejects.toMatchObject({
      code: 'INSTANCE_INVALID',
      message: 'web1 of memory: os must not be empty',
    });
  });

  test.each([
    [{ guarded: ['relative/path'] }, 'neither an absolute path nor a URI'],
    [{ native: [{ name: 'a', secret: false, bytes: new Uint8Array(17 * 1024 * 1024) }] }, 'the native description has'],
    [{ native: [{ name: '../a', secret: false, bytes: Buffer.from('a') }] }, 'the native description is not'],
    [{ native: ['a', 'a'].map((name) => ({ name, secret: false, bytes: Buffer.from('a') })) }, 'the same name'],
    [{ native: Array.from({ length: 101 }, (_, at) => ({ name: `a${at}`, secret: false, bytes: Buffer.from('a') })) }, 'has 101 files'],
    [{ guest: { kind: 'qmp' as const, socket: 'relative' } }, '"guest" says'],
    [{ disksOn: '' }, '"disksOn" is not a host name'],
  ])('trusts an inventory with nothing: %o', async (wrong, message) => {
    await expect(describeFrom(memorySource([{ ...WEB1, ...wrong }]), 'web1')).rejects.toMatchObject({
      code: 'INVENTORY_FAILED',
      message: expect.stringContaining(message),
    });
  });

  test('does not guess whether a native file is secret', async () => {
    // @ts-expect-error -- an inventory in JavaScript can leave it out
    const source = memorySource([{ ...WEB1, native: [{ name: 'a', bytes: Buffer.from('a') }] }]);
    await expect(describeFrom(source, 'web1')).rejects.toMatchObject({
      code: 'INVENTORY_FAILED',
      message: expect.stringContaining('whether a of the native description is secret is missing'),
    });
  });

  test.each([[undefined], [hostname()], [hostname().split('.')[0]]])('disks on %s are here', async (disksOn) => {
    const described = await describeFrom(memorySource([{ ...WEB1, disksOn }]), 'web1');
    expect(() => assertDisksHere(described)).not.toThrow();
  });

  test('disks on another host are not here', async () => {
    const described = await describeFrom(memorySource([{ ...WEB1, disksOn: 'elsewhere.example.com' }]), 'web1');
    const message = `the disks of web1.example.com are on elsewhere.example.com, says memory:; this is ${hostname()}`;
    expect(() => assertDisksHere(described)).toThrow(expect.objectContaining({ code: 'INSTANCE_ELSEWHERE', message }));
  });

  test('lists the instances of an ambiguous name', async () => {
    await expect(describeFrom(memorySource(), 'db1')).rejects.toMatchObject({
      code: 'INSTANCE_AMBIGUOUS',
      details: ['db1.example.com', 'db1.example.net'],
      hint: 'Give the full name, or the UUID.',
    });
  });

  test('rejects with the reason of the signal, not with what a source makes of it', async () => {
    const reason = new Error('enough');
    await expect(describeFrom(memorySource(), 'web1', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});

describe('listFrom', () => {
  test('is in the order of names, and filters what a source did not', async () => {
    const source = { ...memorySource(), list: () => memorySource().list() };
    expect((await listFrom(source, { patterns: ['db*'] })).map(({ name }) => name)).toEqual(['db1.example.com', 'db1.example.net']);
  });
});

describe('asInventoryFailure', () => {
  test("knows the error of an inventory's own copy of this package", () => {
    const foreign = Object.assign(new Error('refused'), { name: 'InventoryError', code: 'denied', details: [] });
    const failure = asInventoryFailure(foreign, 'ganeti:');
    expect(failure).toBeInstanceOf(GantryError);
    expect(failure).toMatchObject({ code: 'INVENTORY_DENIED', message: 'ganeti: refused' });
    const other = new Error('a defect');
    expect(asInventoryFailure(other, 'ganeti:')).toBe(other);
  });
});
