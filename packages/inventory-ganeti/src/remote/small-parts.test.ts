import type { Instance, NewInstanceRequest } from '@gantry/core/inventory';
import { describe, expect, test } from 'vitest';
import { DiskLog } from './disk-log.ts';
import { addressTowards, parseListenAddress } from './listen-address.ts';
import { createParameters } from './new-instance.ts';

const ORIGINAL: Instance = {
  name: 'web9.example.com',
  os: 'debootstrap+default',
  hypervisor: 'kvm',
  primary_node: 'node7.example.com',
  secondary_nodes: [],
  disk_template: 'plain',
  tags: ['prod'],
  disks: [
    { size: 1024, access: 'rw', name: 'root' },
    { size: 8, access: 'ro' },
  ],
  nics: [
    { mac: 'aa:00:00:11:22:33', ip: '192.0.2.1', mode: 'bridged', link: 'br0' },
    { mac: 'aa:00:00:11:22:34', mode: 'bridged', link: 'br1', network: { name: 'lan78', tags: [] } },
  ],
  osparams: { suite: 'bookworm' },
  osparams_private: { password: 'geheim' },
  beparams: { maxmem: '512', auto_balance: 'True' },
  hvparams: { kernel_path: '', cdrom_image_path: 'None', migration_port: '8102', acpi: 'True' },
};

function request(changes: Partial<NewInstanceRequest> = {}): NewInstanceRequest {
  return { instance: ORIGINAL, originalName: 'web1.example.com', nodes: [], token: 'gantry-1', ...changes };
}

describe('createParameters', () => {
  test('under another name, the addresses are not those of the original', () => {
    expect(createParameters(request())).toMatchObject({
      mode: 'remote-import',
      instance_name: 'web9.example.com',
      os_type: 'debootstrap+default',
      disk_template: 'plain',
      disks: [
        { size: 1024, mode: 'rw', name: 'root' },
        { size: 8, mode: 'ro' },
      ],
      nics: [
        { mac: 'generate', mode: 'bridged', link: 'br0' },
        { mac: 'generate', network: 'lan78' },
      ],
      osparams: { suite: 'bookworm' },
      osparams_private: { password: 'geheim' },
      tags: ['prod', 'gantry:unfinished:gantry-1'],
      start: false,
      source_shutdown_timeout: 0,
    });
    expect(createParameters(request())['nics']).not.toHaveProperty('0.ip');
    expect(createParameters(request())).not.toHaveProperty('pnode');
  });

  test('under its own name it keeps its addresses, and nodes are those that were named', () => {
    const same = createParameters(request({ originalName: ORIGINAL.name, nodes: ['node1', 'node2'] }));
    expect(same).toMatchObject({ pnode: 'node1', snode: 'node2', nics: [{ mac: 'aa:00:00:11:22:33', ip: '192.0.2.1' }, {}] });
  });

  test('an empty parameter stays, and one without a value or of the whole cluster does not', () => {
    expect(createParameters(request())['hvparams']).toEqual({ kernel_path: '', acpi: 'True' });
  });
});

describe('DiskLog', () => {
  const log = (...messages: readonly string[]): { readonly log: DiskLog; readonly warnings: string[] } => {
    const warnings: string[] = [];
    const log = new DiskLog(2, (text) => warnings.push(text));
    for (const [serial, message] of messages.entries()) log.add({ serial, type: 'message', message });
    return { log, warnings };
  };

  test('all disks must have said that they finished', () => {
    expect(log('Disk 0 finished receiving data', 'Disk 1 finished receiving data').log.firstUnfinished()).toBeUndefined();
    expect(log('Disk 1 finished sending data').log.firstUnfinished()).toEqual({ disk: 0, why: expect.stringContaining('did not say') });
    expect(log('Disk 0 finished receiving data later', 'Disk 1 is now receiving data').log.firstUnfinished()).toMatchObject({ disk: 0 });
  });

  test('a failure is given with its reason, in one line', async () => {
    const { log: failed } = log(
      'Disk 0 finished receiving data',
      'Disk 1 failed to receive data: Exited with status 1 (recent output: a\nb)',
    );
    expect(failed.firstUnfinished()).toEqual({ disk: 1, why: 'Exited with status 1 (recent output: a b)' });
    await expect(failed.outcome(1)).resolves.toMatchObject({ state: 'failed' });
  });

  test('warnings of Ganeti are passed on, but not what each disk says itself', () => {
    const { warnings } = log(
      ' - WARNING: Failed to run rename script for web9 on node1: exited with 1',
      ' - WARNING: Some disks for instance web9 on node node1 were not imported successfully',
    );
    expect(warnings).toEqual(['Ganeti: Failed to run rename script for web9 on node1: exited with 1']);
  });
});

describe('parseListenAddress', () => {
  test.each([
    ['192.0.2.7', '192.0.2.7', 0],
    ['192.0.2.7:7000', '192.0.2.7', 7000],
    ['gantry.example.com:7000', 'gantry.example.com', 7000],
    ['[2001:db8::7]:7000', '2001:db8::7', 7000],
    ['[2001:db8::7]', '2001:db8::7', 0],
    ['2001:db8::7', '2001:db8::7', 0],
  ])('%s', (text, host, port) => {
    expect(parseListenAddress(text)).toEqual({ host, port });
  });

  test.each(['', ':7000', 'a b', '192.0.2.7:70000', '[192.0.2.7]:1', '[x', 'a:b:c', '-a', 'host,verify=0'])('refuses %j', (text) => {
    expect(() => parseListenAddress(text)).toThrow('is not an address to listen on');
  });
});

test('the address towards nobody is an error that names it', async () => {
  await expect(addressTowards('127.0.0.1', 1)).rejects.toMatchObject({
    code: 'unavailable',
    message: expect.stringContaining('127.0.0.1:1'),
  });
});
