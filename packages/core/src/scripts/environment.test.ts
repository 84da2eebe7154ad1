import { describe, expect, test } from 'vitest';

import { sampleInstance } from '../../test/sample-instance.ts';
import type { Instance } from '../instances/model.ts';
import { createEnvironment, exportEnvironment, importEnvironment, renameEnvironment, verifyEnvironment } from './environment.ts';
import type { SelectedOs } from './select.ts';

function selected(apiVersion: 10 | 15 | 20, variant = ''): SelectedOs {
  return {
    definition: {
      name: 'sample',
      directory: '/srv/ganeti/os/sample',
      builtin: false,
      apiVersions: [apiVersion],
      apiVersion,
      variants: [],
      parameters: [],
      scripts: {},
      operations: new Set(),
    },
    variant,
    fullName: variant === '' ? 'sample' : `sample+${variant}`,
  };
}

const FULL: Instance = {
  name: 'web1.example.com',
  os: 'sample+default',
  hypervisor: 'xen-hvm',
  uuid: '7f0c2a56-0000-4000-8000-000000000001',
  primary_node: 'node1.example.com',
  secondary_nodes: ['node2.example.com', 'node3.example.com'],
  disk_template: 'file',
  tags: ['web', 'prod'],
  disks: [
    {
      path: '/srv/disks/web1-0.img',
      size: 20480,
      access: 'rw',
      name: 'root',
      uuid: '0a1b0000-0000-4000-8000-000000000002',
      frontend_type: 'virtio',
      backend_type: 'file:loop',
    },
    { uri: 'rbd:pool/web1-1', size: 1024, access: 'ro' },
    { path: '/dev/vg/web1-2', uri: 'rbd:pool/web1-2', size: 10, access: 'rw', backend_type: 'block' },
  ],
  nics: [
    {
      mac: 'aa:00:00:35:4c:01',
      ip: '192.0.2.10',
      mode: 'bridged',
      link: 'br0',
      vlan: '17',
      name: 'eth0',
      uuid: '5e6f0000-0000-4000-8000-000000000003',
      frontend_type: 'virtio',
      network: {
        name: 'lan',
        uuid: '8a8a0000-0000-4000-8000-000000000004',
        subnet: '192.0.2.0/24',
        gateway: '192.0.2.1',
        subnet6: '2001:db8::/64',
        gateway6: '2001:db8::1',
        mac_prefix: 'aa:00:00',
        tags: ['a', 'b'],
      },
    },
    { mac: 'aa:00:00:35:4c:02', mode: 'routed', link: '100' },
    { mac: 'aa:00:00:35:4c:03', mode: 'openvswitch', link: 'ovs0', network: { name: 'dmz', tags: [] } },
    { mac: 'aa:00:00:35:4c:04', mode: 'ext', link: 'x' },
  ],
  osparams: { filesystem: 'ext4', 'boot-size': '' },
  osparams_private: { root_password: 'it\'s "$HOME"\nnewline' },
  beparams: { maxmem: '2048', minmem: '1024', vcpus: '2' },
  hvparams: { kernel_path: '', disk_type: 'paravirtual' },
};

/** Row by row what every script gets for {@link FULL} at API 20. */
const FULL_VARIABLES: Readonly<Record<string, string>> = {
  PATH: '/sbin:/bin:/usr/sbin:/usr/bin',
  OS_API_VERSION: '20',
  OS_NAME: 'sample',
  INSTANCE_OS: 'sample+default',
  OS_VARIANT: 'default',
  INSTANCE_NAME: 'web1.example.com',
  INSTANCE_UUID: '7f0c2a56-0000-4000-8000-000000000001',
  INSTANCE_PRIMARY_NODE: 'node1.example.com',
  INSTANCE_SECONDARY_NODES: 'node2.example.com node3.example.com',
  HYPERVISOR: 'xen-hvm',
  DEBUG_LEVEL: '0',
  DISK_COUNT: '3',
  DISK_0_PATH: '/srv/disks/web1-0.img',
  DISK_0_ACCESS: 'rw',
  DISK_0_SIZE: '20480',
  DISK_0_UUID: '0a1b0000-0000-4000-8000-000000000002',
  DISK_0_NAME: 'root',
  DISK_0_FRONTEND_TYPE: 'virtio',
  DISK_0_BACKEND_TYPE: 'file:loop',
  DISK_1_URI: 'rbd:pool/web1-1',
  DISK_1_ACCESS: 'ro',
  DISK_1_SIZE: '1024',
  DISK_2_PATH: '/dev/vg/web1-2',
  DISK_2_URI: 'rbd:pool/web1-2',
  DISK_2_ACCESS: 'rw',
  DISK_2_SIZE: '10',
  DISK_2_BACKEND_TYPE: 'block',
  NIC_COUNT: '4',
  NIC_0_MAC: 'aa:00:00:35:4c:01',
  NIC_0_IP: '192.0.2.10',
  NIC_0_MODE: 'bridged',
  NIC_0_LINK: 'br0',
  NIC_0_BRIDGE: 'br0',
  NIC_0_UUID: '5e6f0000-0000-4000-8000-000000000003',
  NIC_0_NAME: 'eth0',
  NIC_0_FRONTEND_TYPE: 'virtio',
  NIC_0_NETWORK_NAME: 'lan',
  NIC_0_NETWORK_UUID: '8a8a0000-0000-4000-8000-000000000004',
  NIC_0_NETWORK_SUBNET: '192.0.2.0/24',
  NIC_0_NETWORK_GATEWAY: '192.0.2.1',
  NIC_0_NETWORK_SUBNET6: '2001:db8::/64',
  NIC_0_NETWORK_GATEWAY6: '2001:db8::1',
  NIC_0_NETWORK_MAC_PREFIX: 'aa:00:00',
  NIC_0_NETWORK_TAGS: 'a b',
  NIC_1_MAC: 'aa:00:00:35:4c:02',
  NIC_1_MODE: 'routed',
  NIC_1_LINK: '100',
  NIC_2_MAC: 'aa:00:00:35:4c:03',
  NIC_2_MODE: 'openvswitch',
  NIC_2_LINK: 'ovs0',
  NIC_2_NETWORK_NAME: 'dmz',
  NIC_3_MAC: 'aa:00:00:35:4c:04',
  NIC_3_MODE: 'ext',
  NIC_3_LINK: 'x',
  OSP_FILESYSTEM: 'ext4',
  OSP_BOOT_SIZE: '',
  OSP_ROOT_PASSWORD: 'it\'s "$HOME"\nnewline',
  INSTANCE_BE_maxmem: '2048',
  INSTANCE_BE_minmem: '1024',
  INSTANCE_BE_vcpus: '2',
  INSTANCE_HV_kernel_path: '',
  INSTANCE_HV_disk_type: 'paravirtual',
};

/** All that a script gets for the least that an instance can be, at API 20. */
const LEAST_VARIABLES: Readonly<Record<string, string>> = {
  PATH: '/sbin:/bin:/usr/sbin:/usr/bin',
  OS_API_VERSION: '20',
  OS_NAME: 'sample',
  INSTANCE_OS: 'sample',
  OS_VARIANT: '',
  INSTANCE_NAME: 'web1.example.com',
  INSTANCE_PRIMARY_NODE: 'node1.example.com',
  INSTANCE_SECONDARY_NODES: '',
  HYPERVISOR: 'kvm',
  DEBUG_LEVEL: '0',
  DISK_COUNT: '0',
  NIC_COUNT: '0',
};

describe('the environment of every script', () => {
  test('has each variable of the interface, and no other', () => {
    expect(createEnvironment(selected(20, 'default'), FULL, {})).toEqual(FULL_VARIABLES);
  });

  test('lacks what is not known, rather than having it empty, but for the secondary nodes, as under Ganeti', () => {
    expect(createEnvironment(selected(20), sampleInstance(), {})).toEqual(LEAST_VARIABLES);
    const hollow = sampleInstance({
      uuid: '',
      disks: [{ path: '/dev/x', access: 'rw', uuid: '', name: '', frontend_type: '' }],
      nics: [
        { mac: 'aa:00:00:00:00:01', mode: 'ext', link: '', ip: '', name: '', uuid: '', frontend_type: '', network: { name: '', tags: [] } },
      ],
    });
    expect(createEnvironment(selected(20), hollow, {})).toEqual({
      ...LEAST_VARIABLES,
      DISK_COUNT: '1',
      DISK_0_PATH: '/dev/x',
      DISK_0_ACCESS: 'rw',
      NIC_COUNT: '1',
      NIC_0_MAC: 'aa:00:00:00:00:01',
      NIC_0_MODE: 'ext',
      NIC_0_LINK: '',
    });
  });

  test('has no OS parameters below API 20, and no variant below API 15', () => {
    const at15 = createEnvironment(selected(15, 'default'), FULL, {});
    expect(Object.keys(at15).filter((name) => name.startsWith('OSP_'))).toEqual([]);
    expect(at15['OS_VARIANT']).toBe('default');
    expect(createEnvironment(selected(15), FULL, {})['OS_VARIANT']).toBe('');
    expect(createEnvironment(selected(10), FULL, {})).not.toHaveProperty('OS_VARIANT');
    expect(createEnvironment(selected(10), FULL, {})['OS_API_VERSION']).toBe('10');
  });

  test('has the debug level', () => {
    expect(createEnvironment(selected(20), FULL, { debug: true })['DEBUG_LEVEL']).toBe('1');
    expect(createEnvironment(selected(20), FULL, { debug: false })['DEBUG_LEVEL']).toBe('0');
  });

  test('cannot hold a NUL, and says where one is without the value', () => {
    expect(() => createEnvironment(selected(20), sampleInstance({ primary_node: 'node\0secret' }), {})).toThrow(
      expect.objectContaining({
        code: 'INSTANCE_INVALID',
        message: "the value of the script's variable INSTANCE_PRIMARY_NODE contains a NUL character",
      }),
    );
    expect(() => createEnvironment(selected(20), sampleInstance({ hvparams: { 'a=b': 'c' } }), {})).toThrow(
      expect.objectContaining({ code: 'INSTANCE_INVALID' }),
    );
  });
});

describe('OS parameters', () => {
  test('are upper-cased, with - as _', () => {
    const instance = sampleInstance({ osparams: { 'boot-size': '1', under_score: '2', Mixed: '3', 'dot.ted': '4', '7zip': '5' } });
    const environment = createEnvironment(selected(20), instance, {});
    const names = Object.keys(environment).filter((name) => name.startsWith('OSP_'));
    expect(names).toEqual(['OSP_BOOT_SIZE', 'OSP_UNDER_SCORE', 'OSP_MIXED', 'OSP_DOT.TED', 'OSP_7ZIP']);
  });

  test('that would be one variable are refused', () => {
    const two = sampleInstance({ osparams: { 'boot-size': '1', boot_size: '2' } });
    expect(() => createEnvironment(selected(20), two, {})).toThrow(
      expect.objectContaining({
        code: 'OS_PARAMETER',
        message: 'the OS parameters boot-size and boot_size would both be passed to scripts as OSP_BOOT_SIZE',
      }),
    );
    const both = sampleInstance({ osparams: { password: 'public' }, osparams_private: { password: 'private' } });
    expect(() => createEnvironment(selected(20), both, {})).toThrow(
      expect.objectContaining({
        code: 'OS_PARAMETER',
        message: 'the OS parameter password is given twice: as a public and as a private parameter',
      }),
    );
  });

  test('cannot hold a NUL, and their values are in no message', () => {
    const instance = sampleInstance({ osparams_private: { password: 'hunter2\0' } });
    expect(() => createEnvironment(selected(20), instance, {})).toThrow(
      expect.objectContaining({ code: 'OS_PARAMETER', message: expect.not.stringContaining('hunter2') }),
    );
  });
});

describe('the environment of one operation', () => {
  test('create: says when an existing instance is installed anew', () => {
    expect(createEnvironment(selected(20, 'default'), FULL, { reinstall: true })).toEqual({ ...FULL_VARIABLES, INSTANCE_REINSTALL: '1' });
    expect(createEnvironment(selected(20), FULL, { reinstall: false })).not.toHaveProperty('INSTANCE_REINSTALL');
  });

  test('rename: has the old name too', () => {
    expect(renameEnvironment(selected(20, 'default'), FULL, { oldName: 'old.example.com' })).toEqual({
      ...FULL_VARIABLES,
      OLD_INSTANCE_NAME: 'old.example.com',
    });
  });

  test('export: names the snapshot, while the disks stay what they are', () => {
    expect(
      exportEnvironment(selected(20, 'default'), FULL, { index: 2, view: { path: '/dev/vg/snap', uri: 'rbd:pool/web1-2@snap' } }),
    ).toEqual({
      ...FULL_VARIABLES,
      EXPORT_INDEX: '2',
      EXPORT_DEVICE: '/dev/vg/snap',
      EXPORT_DISK_PATH: '/dev/vg/snap',
      EXPORT_DISK_URI: 'rbd:pool/web1-2@snap',
      EXP_SIZE_FD: '3',
      LC_ALL: 'C',
    });
  });

  test('export: lacks the path of what has a URI alone, and the URI of what has a path alone', () => {
    const byUri = exportEnvironment(selected(20, 'default'), FULL, { index: 1, view: { uri: 'rbd:pool/web1-1' } });
    expect(byUri).toEqual({ ...FULL_VARIABLES, EXPORT_INDEX: '1', EXPORT_DISK_URI: 'rbd:pool/web1-1', EXP_SIZE_FD: '3', LC_ALL: 'C' });
    expect(exportEnvironment(selected(20), FULL, { index: 2, view: { path: '/dev/vg/snap' } })).not.toHaveProperty('EXPORT_DISK_URI');
  });

  test('import: names the disk', () => {
    expect(importEnvironment(selected(20, 'default'), FULL, { index: 2 })).toEqual({
      ...FULL_VARIABLES,
      IMPORT_INDEX: '2',
      IMPORT_DEVICE: '/dev/vg/web1-2',
      IMPORT_DISK_PATH: '/dev/vg/web1-2',
      IMPORT_DISK_URI: 'rbd:pool/web1-2',
      EXP_SIZE_FD: '3',
      LC_ALL: 'C',
    });
    expect(importEnvironment(selected(20, 'default'), FULL, { index: 1 })).toEqual({
      ...FULL_VARIABLES,
      IMPORT_INDEX: '1',
      IMPORT_DISK_URI: 'rbd:pool/web1-1',
      EXP_SIZE_FD: '3',
      LC_ALL: 'C',
    });
  });

  test('verify: has what is known, with or without an instance', () => {
    expect(verifyEnvironment(selected(20, 'default'), FULL, { instance: FULL })).toEqual(FULL_VARIABLES);
    expect(verifyEnvironment(selected(20), { osparams: { a: '1' }, osparams_private: { b: '2' } }, {})).toEqual({
      PATH: '/sbin:/bin:/usr/sbin:/usr/bin',
      OS_API_VERSION: '20',
      OS_NAME: 'sample',
      INSTANCE_OS: 'sample',
      OS_VARIANT: '',
      DEBUG_LEVEL: '0',
      OSP_A: '1',
      OSP_B: '2',
    });
  });
});
