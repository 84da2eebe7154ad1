import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { sampleInstance, sampleManifest, sampleRecord } from '../../test/sample-export.ts';
import { GantryError } from '../report/errors.ts';
import { renderExportConfig } from './config-export.ts';
import { codecOfCompression, parseExportConfig } from './config-import.ts';

const manifest = sampleManifest('20261123T081500Z', [sampleRecord(0, 'first'), sampleRecord(1, 'second')]);

/** As Ganeti 2.16 and 3 write it. */
const GANETI_TODAY = `[export]
version = 0
timestamp = 1479888900
source = node1.example.com
os = debootstrap+default
compression = none

[instance]
name = web1.example.com
maxmem = 2048
minmem = 1024
memory = 2048
vcpus = 2
disk_template = plain
hypervisor = kvm
tags = web prod
nic0_mac = aa:00:00:35:4c:01
nic0_ip = None
nic0_network = None
nic0_name = None
nic0_link = br0
nic0_mode = bridged
nic0_vlan = 
nic_count = 1
disk0_ivname = disk/0
disk0_dump = 5b1f7a52-30a9-4c8f-8f27-1d5d41c0d3b1.disk0.snap-1
disk0_size = 20480
disk0_name = root
disk1_ivname = disk/1
disk1_dump = 5b1f7a52-30a9-4c8f-8f27-1d5d41c0d3b1.disk1.snap-1
disk1_size = 64
disk1_name = None
disk_count = 2

[hypervisor]
kernel_path = 

[backend]
auto_balance = True
maxmem = 2048

[os]
filesystem = ext4

[os_private]
root_password = hunter2

`;

/** As Ganeti 2.0 wrote it: gzip, bridges, no sections of parameters, and one less in the counts than there are. */
const GANETI_2_0 = `[export]
version = 0
timestamp = 1224861801
source = node1.example.com
os = debootstrap
compression = gzip

[instance]
name = web1.example.com
memory = 512
vcpus = 1
disk_template = drbd
nic0_mac = aa:00:00:35:4c:01
nic0_ip = None
nic0_bridge = xen-br0
nic_count = 0
disk0_ivname = disk/0
disk0_dump = 9d3a5b0c.disk0_data.snap
disk0_size = 10240
disk1_ivname = disk/1
disk1_dump = 9d3a5b0c.disk1_data.snap
disk1_size = 512
disk_count = 1

`;

function edited(text: string, ...changes: readonly (readonly [from: string | RegExp, to: string])[]): string {
  return changes.reduce((edited, [from, to]) => edited.replace(from, to), text);
}

function failure(text: string): GantryError {
  try {
    parseExportConfig(text, 'config.ini of web1');
  } catch (error) {
    if (error instanceof GantryError) return error;
    throw error;
  }
  throw new Error('accepted');
}

describe('what is written', () => {
  test('is what Ganeti reads: every key of its form', () => {
    expect(renderExportConfig(manifest)).toBe(`[export]
version = 0
timestamp = ${Date.parse('2026-11-23T08:16:00Z') / 1000}
source = node1.example.com
os = debootstrap+default
compression = none

[instance]
name = web1.example.com
maxmem = 2048
minmem = 1024
memory = 2048
vcpus = 2
disk_template = file
hypervisor = kvm
tags = web prod
nic0_mac = aa:00:00:35:4c:01
nic0_ip = 192.0.2.10
nic0_network = lan
nic0_name = eth0
nic0_mode = bridged
nic0_link = br0
nic0_vlan = None
nic1_mac = aa:00:00:35:4c:02
nic1_ip = None
nic1_network = None
nic1_name = None
nic1_mode = openvswitch
nic1_link = ovs0
nic1_vlan = .100
nic_count = 2
disk0_ivname = disk/0
disk0_dump = disk0.img
disk0_size = 20480
disk0_name = root
disk1_ivname = disk/1
disk1_dump = disk1.img
disk1_size = 64
disk1_name = None
disk_count = 2

[hypervisor]
kernel_path = 

[backend]
maxmem = 2048
minmem = 1024
vcpus = 2

[os]
filesystem = ext4

`);
  });

  test('is read by Python as Ganeti reads an export', () => {
    // What ganeti.cmdlib.instance_create takes from it: gaps in the sizes would shift dumps to other disks.
    const program = `
import configparser, json, sys
info = configparser.ConfigParser()
info.read_string(sys.stdin.read())
disks = [(info.getint('instance', 'disk%d_size' % i), info.get('instance', 'disk%d_name' % i)) for i in range(16) if info.has_option('instance', 'disk%d_size' % i)]
dumps = [info.get('instance', 'disk%d_dump' % i) if info.has_option('instance', 'disk%d_dump' % i) else False for i in range(len(disks))]
nics = [[info.get('instance', 'nic%d_%s' % (i, name)) for name in ('ip', 'mac', 'name', 'network', 'mode', 'link', 'vlan')] for i in range(8) if info.has_option('instance', 'nic%d_mac' % i)]
print(json.dumps([int(info.get('export', 'version')), info.get('export', 'os'), disks, dumps, nics, info.get('instance', 'tags').split(), dict(info.items('backend'))]))
`;
    const partly = sampleManifest('20261123T081500Z', [sampleRecord(1, 'second')]);
    const read = execFileSync('python3', ['-c', program], { input: renderExportConfig(partly), encoding: 'utf8' });
    expect(JSON.parse(read)).toEqual([
      0,
      'debootstrap+default',
      [
        [20480, 'root'],
        [64, 'None'],
      ],
      [false, 'disk1.img'],
      [
        ['192.0.2.10', 'aa:00:00:35:4c:01', 'eth0', 'lan', 'bridged', 'br0', 'None'],
        ['None', 'aa:00:00:35:4c:02', 'None', 'None', 'openvswitch', 'ovs0', '.100'],
      ],
      ['web', 'prod'],
      { maxmem: '2048', minmem: '1024', vcpus: '2' },
    ]);
  });

  test.each([
    ['none', 0],
    ['zstd', 1],
    ['gzip', 1],
  ] as const)(
    'has the codec of the dumps as its compression, and a version that Ganeti refuses where it would not unpack them: %s',
    (codec, version) => {
      const dumps = [{ ...sampleRecord(0, 'first'), codec }];
      const text = renderExportConfig(sampleManifest('x', dumps));
      expect(text).toContain(`\ncompression = ${codec}\n`);
      expect(text).toContain(`[export]\nversion = ${version}\n`);
      expect(parseExportConfig(text, 'it').compression).toBe(codec);
    },
  );

  test('gives no instance the parameters that Ganeti keeps for a whole cluster', () => {
    const global = { migration_bandwidth: '32', migration_mode: 'live', migration_port: '8002', xen_cmd: 'xl' };
    const hvparams = { kernel_args: 'ro', ...global, migration_downtime: '30' };
    const text = renderExportConfig(sampleManifest('x', [], { ...sampleInstance, hvparams }));
    expect(parseExportConfig(text, 'it').hvparams).toEqual({ kernel_args: 'ro', migration_downtime: '30' });
  });

  test('has private parameters only where the manifest has them', () => {
    expect(renderExportConfig(manifest)).not.toContain('os_private');
    const asked = { ...sampleInstance, osparams_private: { root_password: 'hunter2' } };
    expect(renderExportConfig(sampleManifest('x', [], asked))).toContain('[os_private]\nroot_password = hunter2\n');
  });

  test('holds parameters of any text, and no word that could be taken for a key', () => {
    const osparams = { script: 'set -e\n[instance]\rdisk0_dump = ../../etc/passwd', UPPER: 'x', upper: 'y' };
    const text = renderExportConfig(sampleManifest('x', [sampleRecord(0, 'first')], { ...sampleInstance, osparams }));
    const read = parseExportConfig(text, 'it');
    expect(read.osparams).toEqual({ script: 'set -e\n[instance]\ndisk0_dump = ../../etc/passwd', upper: 'y' });
    expect(read.disks[0]?.dump).toBe('disk0.img');
  });

  test('comes back when it is read', () => {
    const { name, os, hypervisor, disk_template, tags, osparams, beparams, hvparams } = sampleInstance;
    expect(parseExportConfig(renderExportConfig(manifest), 'it')).toEqual({
      instanceName: name,
      os,
      compression: 'none',
      timestamp: new Date('2026-11-23T08:16:00Z'),
      source: 'node1.example.com',
      hypervisor,
      disk_template,
      tags,
      disks: [
        { index: 0, dump: 'disk0.img', size: 20480, name: 'root' },
        { index: 1, dump: 'disk1.img', size: 64 },
      ],
      nics: [
        { mac: 'aa:00:00:35:4c:01', ip: '192.0.2.10', mode: 'bridged', link: 'br0', network: 'lan', name: 'eth0' },
        { mac: 'aa:00:00:35:4c:02', mode: 'openvswitch', link: 'ovs0', vlan: '.100' },
      ],
      osparams,
      beparams,
      hvparams,
      privateNames: [],
      other: {},
    });
  });
});

describe('what Ganeti wrote is read', () => {
  test('today', () => {
    expect(parseExportConfig(GANETI_TODAY, 'it')).toEqual({
      instanceName: 'web1.example.com',
      os: 'debootstrap+default',
      compression: 'none',
      timestamp: new Date(1_479_888_900_000),
      source: 'node1.example.com',
      hypervisor: 'kvm',
      disk_template: 'plain',
      tags: ['web', 'prod'],
      disks: [
        { index: 0, dump: '5b1f7a52-30a9-4c8f-8f27-1d5d41c0d3b1.disk0.snap-1', size: 20480, name: 'root' },
        { index: 1, dump: '5b1f7a52-30a9-4c8f-8f27-1d5d41c0d3b1.disk1.snap-1', size: 64 },
      ],
      nics: [{ mac: 'aa:00:00:35:4c:01', mode: 'bridged', link: 'br0' }],
      osparams: { filesystem: 'ext4' },
      beparams: { auto_balance: 'True', maxmem: '2048' },
      hvparams: { kernel_path: '' },
      privateNames: ['root_password'],
      other: {},
    });
  });

  test('by version 2.0: bridges, memory among the rest, counts that are one too low', () => {
    expect(parseExportConfig(GANETI_2_0, 'it')).toMatchObject({
      compression: 'gzip',
      disks: [
        { index: 0, dump: '9d3a5b0c.disk0_data.snap', size: 10240 },
        { index: 1, dump: '9d3a5b0c.disk1_data.snap', size: 512 },
      ],
      nics: [{ mac: 'aa:00:00:35:4c:01', mode: 'bridged', link: 'xen-br0' }],
      beparams: { memory: '512', vcpus: '1' },
    });
  });

  test('a disk whose snapshot failed has no dump: left out, or the word for nothing', () => {
    const leftOut = edited(GANETI_TODAY, [/disk0_.*\n/g, ''], ['disk_count = 2', 'disk_count = 1']);
    expect(parseExportConfig(leftOut, 'it').disks).toEqual([expect.objectContaining({ index: 1, size: 64 })]);
    for (const nothing of ['None', 'False', '']) {
      const text = edited(GANETI_TODAY, [/disk0_dump = .*/, `disk0_dump = ${nothing}`]);
      expect(parseExportConfig(text, 'it').disks[0]).toEqual({ index: 0, size: 20480, name: 'root' });
    }
  });

  test('values of private parameters stay in the file', () => {
    expect(JSON.stringify(parseExportConfig(GANETI_TODAY, 'it'))).not.toContain('hunter2');
  });

  test('what nobody knows is kept: sections, and keys of those that are known', () => {
    const text = edited(
      GANETI_TODAY,
      ['[instance]\n', '[instance]\nadmin_state = up\n'],
      ['[hypervisor]', '[site]\nOwner: ops\n\n[empty]\n\n[hypervisor]'],
    );
    expect(parseExportConfig(text, 'it').other).toEqual({ instance: { admin_state: 'up' }, site: { owner: 'ops' }, empty: {} });
  });

  test('sizes, times and NICs that say nothing are left out', () => {
    const text = edited(
      GANETI_TODAY,
      ['disk0_size = 20480', 'disk0_size = big'],
      ['timestamp = 1479888900', 'timestamp = None'],
      [/nic0_.*\n/g, ''],
      ['nic_count', 'nic0_mac = None\nnic_count'],
    );
    const read = parseExportConfig(text, 'it');
    expect(read.disks[0]).not.toHaveProperty('size');
    expect(read).not.toHaveProperty('timestamp');
    expect(read.nics).toEqual([{}]);
  });
});

describe('what is refused', () => {
  test.each([
    '../../etc/passwd',
    '/etc/passwd',
    '..',
    '.',
    '.hidden',
    'a/b',
    'a\\b',
    'a b',
    'ä',
    'manifest.json',
    'config.ini',
    '-x',
    'x'.repeat(300),
  ])('the dump name %j', (name) => {
    const error = failure(edited(GANETI_TODAY, [/disk0_dump = .*/, `disk0_dump = ${name}`]));
    expect(error.code).toBe('CONFIG_DAMAGED');
    expect(error.message).toMatch(/^config.ini of web1 is damaged: disk0_dump, ".*", is not a plain file name$/);
  });

  test.each([
    ['no section of the export', [/\[export\]\n(.+\n)+/, ''], 'section [export] is missing'],
    ['no section of the instance', [/\[instance\]\n(.+\n)+/, ''], 'section [instance] is missing'],
    ['no name', ['name = web1.example.com\n', ''], 'name is missing'],
    ['no OS', ['os = debootstrap+default\n', ''], 'os is missing'],
    ['an OS that is not known', ['os = debootstrap+default', 'os = None'], 'os is missing'],
    ['another version', ['version = 0', 'version = 2'], '[export] version is "2"; Gantry reads 0 and 1'],
    ['no version', ['version = 0\n', ''], '[export] version is ""; Gantry reads 0 and 1'],
    [
      'one dump for two disks',
      [/disk1_dump = .*/, 'disk1_dump = 5b1f7a52-30a9-4c8f-8f27-1d5d41c0d3b1.disk0.snap-1'],
      'two disks have the dump',
    ],
    ['one key twice', ['disk0_size', 'disk0_dump = other\ndisk0_size'], 'repeats the key "disk0_dump"'],
  ] as const)('%s', (_title, change, problem) => {
    const error = failure(edited(GANETI_TODAY, change));
    expect(error.code).toBe('CONFIG_DAMAGED');
    expect(error.message).toContain(`config.ini of web1 is damaged: `);
    expect(error.message).toContain(problem);
  });

  test('a compression that Gantry cannot read', () => {
    for (const word of ['none', 'gzip', 'zstd']) expect(codecOfCompression(word, 'it')).toBe(word);
    expect(() => codecOfCompression('lzop', 'config.ini of web1')).toThrow(expect.objectContaining({ code: 'CODEC_UNKNOWN' }));
  });
});

test('of an export that is read by its frame maps names the maps, and is refused by Ganeti and by readers of dumps', () => {
  const map = { size: 1, sha256: '0'.repeat(64), cut: 'place' as const, packs: [] };
  const { frameTables: _none, ...draft } = manifest;
  const dumps = manifest.dumps.map((dump) => Object.assign(structuredClone(dump), { map, codec: 'none' as const }));
  const text = renderExportConfig({ ...draft, version: 3, dumps });
  expect(text).toMatch(
    /^\[export\]\nversion = 1\n[^]*\ncompression = frame-map\n[^]*\ndisk0_dump = disk0\.map\n[^]*\ndisk1_dump = disk1\.map\n/,
  );
  expect(() => codecOfCompression(parseExportConfig(text, 'config.ini').compression, 'config.ini')).toThrow(GantryError);
});
