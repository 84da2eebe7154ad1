import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Disk, Instance, InstanceDescription, NativeFile } from '@gantry/core/inventory';
import { inventoryConformance } from '@gantry/core/inventory-conformance';
import type { Libvirtd, LibvirtGuest } from '@gantry/testkit';
import { attachLoopDevice, defineLibvirtGuest, PATIENTLY, startLibvirtd, startSshServer } from '@gantry/testkit';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import inventory from '../src/index.ts';
import { defineXml, makeDisk, sourceOf, wrapProgram } from './real-libvirt.ts';

/*
 * One real libvirtd, with a guest that runs and others that do not, for all of the package. What is lost, is lost in order: the tests of a
 * group depend on those before it.
 */

const NODE = hostname();
const OTHER = '5f0c8a52-94a2-4f1e-8a35-0d0b6f2a7c11';
/** Of the domain with a TPM. */
const OWN_UUID = '00000000-1111-4222-8333-444444444444';
const ODD_NAME = `Windows 10 & "co" <b> 'x' \\ $(id)`;
const ODD = 'Windows-10-co-b-x-id-5f0c8a52';

let libvirtd: Libvirtd;
let web1: LibvirtGuest;

beforeAll(async () => {
  libvirtd = await startLibvirtd();
  const file = (name: string): string => join(libvirtd.directory, name);
  const disks = [{ file: await makeDisk(file('a.img'), 'first disk') }, { file: await makeDisk(file('b.img'), 'second disk') }];
  web1 = await defineLibvirtGuest(libvirtd, {
    name: 'web1.example.com',
    disks,
    does: 'answers',
    elements: `<metadata><gantry:instance xmlns:gantry='urn:gantry:instance' os='debootstrap+bookworm'>
      <gantry:tag>prod</gantry:tag><gantry:tag>web</gantry:tag><gantry:tag>not a tag</gantry:tag>
      <gantry:osparam name='filesystem'>ext4</gantry:osparam></gantry:instance></metadata>`,
    devices: `<interface type='user'><mac address='52:54:00:aa:bb:cc'/><model type='virtio'/></interface>`,
  });
  await execa('qemu-img', ['create', '-q', '-f', 'qcow2', file('base.qcow2'), '1M']);
  await execa('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', file('base.qcow2'), '-F', 'qcow2', file('top file.qcow2')]);
  await writeFile(file('cd.iso'), 'media');
  await defineXml(libvirtd, oddXml(file));
  await defineXml(libvirtd, `<domain type='qemu'><name>7</name><memory unit='MiB'>16</memory><os><type>hvm</type></os></domain>`);
  await libvirtd.virsh('start', web1.uuid);
}, 120_000);

afterAll(async () => {
  await libvirtd[Symbol.asyncDispose]();
});

function oddXml(file: (name: string) => string): string {
  const name = ODD_NAME.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<domain type='qemu'><name>${name}</name><uuid>${OTHER}</uuid><title>no tag</title>
    <memory unit='MiB'>64</memory><currentMemory unit='MiB'>32</currentMemory><vcpu>2</vcpu><os><type>hvm</type></os>
    <devices>
      <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${file('top file.qcow2')}'/><target dev='vda' bus='virtio'/></disk>
      <disk type='file' device='disk'><source file='${file('a.img')}'/><target dev='sda' bus='scsi'/><readonly/></disk>
      <disk type='block' device='disk'><source dev='/dev/gantry/none'/><target dev='sdb' bus='scsi'/></disk>
      <disk type='network' device='disk'><auth username='gantry'><secret type='ceph' uuid='${randomUUID()}'/></auth>
        <source protocol='rbd' name='pool/web1'><host name='192.0.2.1' port='6789'/><host name='192.0.2.2' port='6789'/></source>
        <target dev='vdb' bus='virtio'/></disk>
      <disk type='network' device='disk'><source protocol='nbd' name='export'><host name='2001:db8::1' port='10809'/></source>
        <target dev='vdc' bus='virtio'/></disk>
      <disk type='file' device='cdrom'><source file='${file('cd.iso')}'/><target dev='sdc' bus='sata'/><readonly/></disk>
      <disk type='file' device='cdrom'><target dev='sdd' bus='sata'/><readonly/></disk>
      <interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0'/><virtualport type='openvswitch'/>
        <vlan trunk='yes'><tag id='20'/><tag id='30'/></vlan><model type='e1000'/></interface>
      <interface type='network'><mac address='52:54:00:00:00:02'/><source network='default'/></interface>
    </devices></domain>`;
}

/** A domain whose disk has a backing file. */
function chainXml(): string {
  return `<domain type='qemu'><name>chain</name><memory unit='MiB'>32</memory><os><type>hvm</type></os><devices>
    <disk type='file'><driver name='qemu' type='qcow2'/><source file='${libvirtd.directory}/top file.qcow2'/><target dev='vda' bus='virtio'/></disk>
    </devices></domain>`;
}

/** As core completes a description. */
function complete({ instance }: InstanceDescription, disks: readonly string[]): Instance {
  const { name, uuid, os, hypervisor } = instance;
  return {
    name,
    ...(uuid === undefined ? {} : { uuid }),
    os,
    hypervisor,
    primary_node: NODE,
    secondary_nodes: [],
    tags: [],
    nics: [],
    osparams: {},
    osparams_private: {},
    beparams: {},
    hvparams: {},
    disks: disks.map((path) => ({ path, access: 'rw' })),
  };
}

/** The native description with another text in its XML. */
function withXml({ native = [] }: InstanceDescription, text: string, other: string): readonly NativeFile[] {
  return native.map((file) => {
    if (file.name !== 'domain.xml') return file;
    const xml = new TextDecoder().decode(file.bytes);
    expect(xml).toContain(text);
    return { name: file.name, secret: false, bytes: new TextEncoder().encode(xml.replaceAll(text, other)) };
  });
}

describe('conformance', () => {
  for (const { title, run } of inventoryConformance(async () => sourceOf(libvirtd))) test(title, run, 60_000);
});

describe('what libvirt describes', () => {
  test('lists domains with what their XML says, under names that exports can have', async () => {
    const all = await Array.fromAsync(sourceOf(libvirtd).list());
    expect(all.toSorted((a, b) => a.name.localeCompare(b.name))).toEqual([
      { name: '7', run: { state: 'stopped' }, os: 'raw', hypervisor: 'qemu', disks: 0, tags: [] },
      {
        name: 'web1.example.com',
        run: { state: 'running', node: NODE },
        os: 'debootstrap+bookworm',
        hypervisor: 'qemu',
        disks: 2,
        tags: ['prod', 'web'],
      },
      { name: ODD, run: { state: 'stopped' }, os: 'raw', hypervisor: 'qemu', disks: 5, tags: [] },
    ]);
  });

  test('describes a guest that runs, and where it is controlled', async () => {
    const { instance, run, guarded, native = [], guest } = await sourceOf(libvirtd).describe('web1.example.com');
    const [a, b] = [join(libvirtd.directory, 'a.img'), join(libvirtd.directory, 'b.img')];
    expect(instance).toEqual({
      name: 'web1.example.com',
      uuid: web1.uuid,
      os: 'debootstrap+bookworm',
      hypervisor: 'qemu',
      primary_node: NODE,
      tags: ['prod', 'web'],
      osparams: { filesystem: 'ext4' },
      beparams: { maxmem: '256', minmem: '256', vcpus: '1' },
      disks: [
        { path: a, access: 'rw', name: 'vda', frontend_type: 'virtio' },
        { path: b, access: 'rw', name: 'vdb', frontend_type: 'virtio' },
      ],
      nics: [{ mac: '52:54:00:aa:bb:cc', mode: 'ext', link: '', frontend_type: 'virtio' }],
    });
    expect(run).toEqual({ state: 'running', node: NODE });
    expect(guarded).toEqual([a, b]);
    expect(guest).toEqual({ kind: 'libvirt', uri: libvirtd.uri, uuid: web1.uuid, targets: ['vda', 'vdb'] });
    expect(native.map(({ name, secret }) => ({ name, secret }))).toEqual([{ name: 'domain.xml', secret: false }]);
  });

  test('describes every kind of disk and NIC; a file of another format than raw has only a URI, and media are guarded alone', async () => {
    const { instance, guarded, guest } = await sourceOf(libvirtd).describe(ODD);
    const top = join(libvirtd.directory, 'top file.qcow2');
    const uri = `qcow2:${encodeURI(top)}`;
    const rbd = String.raw`rbd:pool/web1:id=gantry:mon_host=192.0.2.1\:6789\;192.0.2.2\:6789`;
    expect(instance.disks).toEqual([
      { uri, access: 'rw', name: 'vda', frontend_type: 'virtio' },
      { uri: rbd, access: 'rw', name: 'vdb', frontend_type: 'virtio' },
      { uri: 'nbd://[2001:db8::1]:10809/export', access: 'rw', name: 'vdc', frontend_type: 'virtio' },
      { path: join(libvirtd.directory, 'a.img'), access: 'ro', name: 'sda', frontend_type: 'scsi' },
      { path: '/dev/gantry/none', access: 'rw', name: 'sdb', frontend_type: 'scsi' },
    ]);
    expect(instance.nics).toEqual([
      { mac: '52:54:00:00:00:01', mode: 'openvswitch', link: 'br0', vlan: ':20:30', frontend_type: 'e1000' },
      { mac: '52:54:00:00:00:02', mode: 'bridged', link: '', network: { name: 'default', tags: [] }, frontend_type: 'rtl8139' },
    ]);
    expect(instance.beparams).toEqual({ maxmem: '64', minmem: '32', vcpus: '2' });
    expect(guarded).toEqual(expect.arrayContaining([top, uri, join(libvirtd.directory, 'cd.iso'), rbd]));
    expect(guest).toBeUndefined();
  });

  test('finds a domain by its own name and its UUID, never by the number of a guest that runs', async () => {
    const source = sourceOf(libvirtd);
    for (const name of [ODD_NAME, OTHER, OTHER.toUpperCase()]) expect((await source.describe(name)).instance.uuid).toBe(OTHER);
    expect((await source.describe('7')).instance.name).toBe('7');
    const id = await libvirtd.virsh('domid', web1.uuid);
    await expect(source.describe(id.trim())).rejects.toMatchObject({ code: 'not-found' });
  });

  test('a text that is the name of one and the UUID of another is ambiguous', async () => {
    await defineXml(libvirtd, `<domain type='qemu'><name>${OTHER}</name><memory>16384</memory><os><type>hvm</type></os></domain>`);
    const names = { code: 'ambiguous', details: expect.arrayContaining([`${OTHER} ${ODD_NAME}`]) };
    await expect(sourceOf(libvirtd).describe(OTHER)).rejects.toMatchObject(names);
    const [other = ''] = (await libvirtd.virsh('list', '--all', '--uuid', '--name')).split('\n').flatMap((line) => {
      const [uuid, name] = line.trim().split(/ +/);
      return name === OTHER && uuid !== undefined ? [uuid] : [];
    });
    await libvirtd.virsh('undefine', other);
  });

  test('guards what is behind the disks of a guest that runs, and media that it gets then', async () => {
    await defineXml(libvirtd, chainXml());
    await libvirtd.virsh('start', 'chain', '--paused');
    await libvirtd.virsh('checkpoint-create-as', 'chain', 'left');
    const { run, guarded } = await sourceOf(libvirtd).describe('chain');
    expect(run.state).toBe('running');
    expect(guarded).toEqual(expect.arrayContaining([join(libvirtd.directory, 'top file.qcow2'), join(libvirtd.directory, 'base.qcow2')]));
    await expect(sourceOf(libvirtd).manager.stop('chain', { timeoutMs: 1000 })).rejects.toThrow('chain is paused');
    await libvirtd.virsh('resume', 'chain');
    await expect(sourceOf(libvirtd).manager.stop('chain', { timeoutMs: 1000 })).rejects.toThrow('chain still runs after 1 s');
    await expect(sourceOf(libvirtd).manager.undefine('chain')).rejects.toThrow('chain runs');
    await libvirtd.virsh('destroy', 'chain');
    await sourceOf(libvirtd).manager.stop('chain', { timeoutMs: 1 });
    await sourceOf(libvirtd).manager.undefine('chain');
    await expect(sourceOf(libvirtd).describe('chain')).rejects.toMatchObject({ code: 'not-found' });
  });

  test('a domain with snapshots is not forgotten', async () => {
    await defineXml(libvirtd, chainXml());
    await libvirtd.virsh('snapshot-create-as', 'chain', 'kept');
    await expect(sourceOf(libvirtd).manager.undefine('chain')).rejects.toThrow('cannot delete inactive domain with 1 snapshots');
    await libvirtd.virsh('snapshot-delete', 'chain', 'kept');
    await sourceOf(libvirtd).manager.undefine('chain');
  });

  test('a volume of a storage pool has the path that libvirt says', async () => {
    await mkdir(join(libvirtd.directory, 'pool'));
    await libvirtd.virsh('pool-create-as', 'a pool', 'dir', '--target', join(libvirtd.directory, 'pool'));
    await libvirtd.virsh('vol-create-as', 'a pool', 'a volume', '1M');
    const disk = (volume: string, target: string): string =>
      `<disk type='volume'><source pool='a pool' volume='${volume}'/><target dev='${target}' bus='virtio'/></disk>`;
    const domain = (disks: string): string =>
      `<domain type='qemu'><name>volumes</name><memory>16384</memory><os><type>hvm</type></os><devices>${disks}</devices></domain>`;
    await defineXml(libvirtd, domain(disk('a volume', 'vda')));
    const { instance, guarded } = await sourceOf(libvirtd).describe('volumes');
    const path = join(libvirtd.directory, 'pool/a volume');
    expect([instance.disks?.[0]?.path, guarded]).toEqual([path, [path]]);
    await libvirtd.virsh('undefine', 'volumes');
    await defineXml(libvirtd, domain(disk('none', 'vda')));
    await expect(sourceOf(libvirtd).describe('volumes')).rejects.toThrow('libvirt does not say where its volume is');
    await libvirtd.virsh('undefine', 'volumes');
  });

  test('another host is asked over SSH', async () => {
    const enter = libvirtd.enter.join(' ');
    await using sshd = await startSshServer({ config: [`ForceCommand ${enter} /bin/sh -c "$SSH_ORIGINAL_COMMAND"`] });
    const path = await wrapProgram(libvirtd.directory, 'ssh', `exec /usr/bin/ssh -F ${sshd.configFile} "$@"`);
    const open = (user: string): ReturnType<typeof inventory.open> =>
      inventory.open(new URL(`libvirt+ssh://${user}@127.0.0.1:${sshd.port}`), {
        env: { ...process.env, PATH: `${path}:${process.env['PATH'] ?? ''}` },
        warn: () => undefined,
      });
    await using source = await open(sshd.user);
    expect((await Array.fromAsync(source.list({ tags: ['prod'] }))).map(({ name }) => name)).toEqual(['web1.example.com']);
    const described = await source.describe('web1.example.com');
    expect(described.guest).toBeUndefined();
    expect(described.run.state).toBe('running');
    const request = { instance: complete(described, []), native: described.native ?? [], newIdentity: true };
    await expect(source.manager?.checkDefine(request)).rejects.toThrow('the disks are on this host');
    await using stranger = await open('no-such-user');
    await expect(Array.fromAsync(stranger.list())).rejects.toThrow('Permission denied (publickey');
    await expect(Array.fromAsync(stranger.list())).rejects.toMatchObject({ code: 'denied' });
    await sshd.kill();
    await expect(Array.fromAsync(source.list())).rejects.toMatchObject({ code: 'unavailable' });
    const nowhere = await inventory.open(new URL('libvirt+ssh://no-such-host.invalid'), { env: process.env, warn: () => undefined });
    await expect(Array.fromAsync(nowhere.list())).rejects.toMatchObject({ code: 'source-not-found' });
  }, 60_000);
});

describe('a domain that is lost and comes back', () => {
  let described: InstanceDescription;
  let disks: readonly string[];

  test('the guest is shut down, and its domain forgotten', async () => {
    const source = sourceOf(libvirtd);
    await web1.says(/ready/);
    described = await source.describe('web1.example.com');
    await source.manager.stop('web1.example.com', { timeoutMs: 60_000 });
    expect((await source.describe('web1.example.com')).run).toEqual({ state: 'stopped' });
    // A copy, as an import writes it.
    disks = [join(libvirtd.directory, 'new-a.img'), join(libvirtd.directory, 'new & b.img')];
    for (const [index, name] of ['a.img', 'b.img'].entries()) await execa('mv', [join(libvirtd.directory, name), disks[index] ?? '']);
    const request = { instance: complete(described, disks), native: described.native ?? [], newIdentity: false };
    await expect(source.manager.checkDefine(request)).rejects.toMatchObject({ code: 'exists' });
    await expect(source.manager.define(request)).rejects.toMatchObject({ code: 'exists' });
    await source.manager.undefine('web1.example.com');
    await expect(source.describe('web1.example.com')).rejects.toMatchObject({ code: 'not-found' });
  }, 180_000);

  test('a request that cannot be fulfilled changes nothing', async () => {
    const { manager } = sourceOf(libvirtd);
    const native = described.native ?? [];
    const withDisks = (paths: readonly string[]): Parameters<typeof manager.checkDefine>[0] => ({
      instance: complete(described, paths),
      native,
      newIdentity: false,
    });
    await expect(manager.checkDefine(withDisks(disks.slice(1)))).rejects.toThrow('the domain had 2 disks, and the instance has 1');
    await expect(manager.checkDefine(withDisks(['/none', '/none']))).rejects.toThrow('cannot look at the disk /none');
    await expect(manager.checkDefine({ ...withDisks(disks), native: [] })).rejects.toThrow('there is no domain.xml of the original');
    for (const [xml, why] of [
      ['<domain', 'cannot be read'],
      ['<!DOCTYPE a [<!ENTITY b "c">]><domain>&b;</domain>', 'has a document type'],
      ['<network/>', 'does not describe a domain'],
      ['<domain/>', 'the domain had 0 disks'],
    ] as const) {
      const bad = [{ name: 'domain.xml', secret: false, bytes: new TextEncoder().encode(xml) }];
      await expect(manager.checkDefine({ ...withDisks(disks), native: bad })).rejects.toThrow(why);
    }
    expect(await libvirtd.virsh('list', '--all', '--name')).not.toContain('web1');
  });

  test('it is defined with its new disks and its old identity, boots, and answers', async () => {
    const source = sourceOf(libvirtd);
    const request = { instance: complete(described, disks), native: described.native ?? [], newIdentity: false };
    await source.manager.checkDefine(request);
    expect(await source.manager.define(request)).toBe('web1.example.com');
    const again = await source.describe('web1.example.com');
    expect(again.instance).toEqual({
      ...described.instance,
      disks: disks.map((path, index) => ({ path, access: 'rw', name: index === 0 ? 'vda' : 'vdb', frontend_type: 'virtio' })),
    });
    await web1.log();
    await source.manager.start('web1.example.com');
    await source.manager.start('web1.example.com');
    await web1.says(/vda says: first disk/);
    await web1.says(/vdb says: second disk/);
    await web1.says(/ready/);
    await web1.tell('are you there?');
    await web1.says(/answer: are you there\?/);
  }, 180_000);
});

describe('a domain with every kind of disk', () => {
  test('gets files and devices in the place of its disks, and keeps those of networks', async () => {
    const warnings: string[] = [];
    const source = sourceOf(libvirtd, { warn: (message) => warnings.push(message) });
    const described = await source.describe(ODD);
    const [image, file, other] = await Promise.all(
      ['c.img', 'd.img', 'e.img'].map((name) => makeDisk(join(libvirtd.directory, name), name)),
    );
    await using device = await attachLoopDevice(other ?? '');
    const places = [file ?? '', undefined, undefined, image ?? '', device.path];
    const uris = described.instance.disks?.map(({ uri = '' }) => uri) ?? [];
    const disks = places.map((path, index): Disk =>
      path === undefined ? { access: 'rw', uri: uris[index] ?? '' } : { access: 'rw', path },
    );
    const hostdev = `<hostdev mode='subsystem' type='usb'><source><vendor id='0x1234'/><product id='0x5678'/></source></hostdev></devices>`;
    const native = withXml(described, '</devices>', hostdev);
    const instance = { ...complete(described, []), name: 'odd2', disks };
    await source.manager.checkDefine({ instance, native, newIdentity: true });
    expect(warnings).toEqual(['the domain odd2 reaches into this host: look at <hostdev> in its XML']);
    expect(await source.manager.define({ instance, native, newIdentity: true })).toBe('odd2');
    const copy = await source.describe('odd2');
    expect(copy.instance.disks?.map(({ path, uri }) => path ?? uri)).toEqual(disks.map(({ path, uri }) => path ?? uri));
    const xml = await libvirtd.virsh('dumpxml', 'odd2');
    expect(xml).toContain(`<source dev='${device.path}'/>`);
    expect(xml).not.toContain('qcow2');
    expect(xml).not.toContain('cd.iso');
    await source.manager.undefine('odd2');

    const elsewhere = { ...instance, disks: disks.with(1, { access: 'rw', uri: 'rbd:pool/other' }) };
    await expect(source.manager.checkDefine({ instance: elsewhere, native, newIdentity: true })).rejects.toThrow(
      'disk 1 has a URI and no path',
    );
  });

  test('is not left behind by a call that is cancelled when libvirt has it already', async () => {
    const hanging = await wrapProgram(
      libvirtd.directory,
      'virsh',
      `/usr/bin/virsh "$@" || exit; case "$*" in *" define "*) touch ${libvirtd.directory}/defined; exec sleep 600;; esac`,
    );
    const source = sourceOf(libvirtd, { env: { PATH: `${hanging}:/usr/bin:/bin` } });
    const described = await source.describe('7');
    const controller = new AbortController();
    const instance = { ...complete(described, []), name: 'late' };
    const call = source.manager.define({ instance, native: described.native ?? [], newIdentity: true }, { signal: controller.signal });
    const outcome = expect(call).rejects.toThrow('enough');
    await expect.poll(() => stat(join(libvirtd.directory, 'defined')).then(Boolean, () => false), PATIENTLY).toBe(true);
    expect(await libvirtd.virsh('list', '--all', '--name')).toContain('late');
    controller.abort(new Error('enough'));
    await outcome;
    expect(await libvirtd.virsh('list', '--all', '--name')).not.toContain('late');
  });
});

describe('firmware variables and a TPM', () => {
  const xml = (directory: string): string => `<domain type='qemu'><name>secure</name><uuid>${OWN_UUID}</uuid>
    <genid>43dc0cf8-809b-4adb-9bea-a9abb5f3d90e</genid><sysinfo type='smbios'><system><entry name='uuid'>00000000-1111-4222-8333-444444444444</entry></system></sysinfo>
    <memory unit='MiB'>32</memory>
    <os><type machine='q35'>hvm</type><loader readonly='yes' type='pflash'>${directory}/code.fd</loader>
      <nvram template='${directory}/template.fd'>${directory}/nvram/secure_VARS.fd</nvram><smbios mode='sysinfo'/></os><features><acpi/></features>
    <devices><emulator>/usr/bin/qemu-system-x86_64</emulator><tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>
      <disk type='file' device='lun' rawio='no'><driver name='qemu' type='qcow2'><metadata_cache><max_size unit='bytes'>1048576</max_size></metadata_cache></driver>
        <source dev='x' file='${directory}/top file.qcow2'/><target dev='sda' bus='scsi'/></disk>
      <interface type='user'><mac address='52:54:00:11:22:33'/></interface></devices></domain>`;

  test('are described, and put in place for a domain of another identity, which starts', async () => {
    const source = sourceOf(libvirtd);
    await mkdir(join(libvirtd.directory, 'nvram'));
    const variablesOf = (name: string): string => join(libvirtd.stateDirectory, `qemu/nvram/${name}_VARS.fd`);
    await writeFile(join(libvirtd.directory, 'code.fd'), new Uint8Array(256 * 1024));
    await writeFile(join(libvirtd.directory, 'template.fd'), new Uint8Array(256 * 1024).fill(7));
    await defineXml(libvirtd, xml(libvirtd.directory).replace(" device='lun' rawio='no'", ''));
    await libvirtd.virsh('start', 'secure', '--paused');
    await libvirtd.virsh('destroy', 'secure');
    const described = await source.describe('secure');
    const names = described.native?.map(({ name, secret }) => `${name} ${String(secret)}`);
    expect(names).toEqual(['domain.xml false', 'nvram false', 'swtpm.tpm2.tpm2-00.permall true']);
    const permall = described.native?.at(-1)?.bytes ?? new Uint8Array();
    expect(permall.length).toBeGreaterThan(1000);

    const disk = await makeDisk(join(libvirtd.directory, 'secure.img'), 'x');
    const request = { instance: complete(described, [disk]), native: described.native ?? [], newIdentity: true };
    await expect(source.manager.checkDefine(request)).rejects.toMatchObject({ code: 'exists' });
    const renamed = { ...request, instance: { ...request.instance, name: 'secure2' } };
    await source.manager.checkDefine(renamed);
    expect(await source.manager.define(renamed)).toBe('secure2');
    const copy = await source.describe('secure2');
    expect(copy.instance.uuid).not.toBe(described.instance.uuid);
    expect(copy.instance.nics?.[0]?.mac).toMatch(/^52:54:00:/);
    expect(copy.instance.nics?.[0]?.mac).not.toBe('52:54:00:11:22:33');
    expect(copy.instance.disks).toEqual([expect.objectContaining({ path: disk })]);
    const variables = variablesOf(`secure2-${copy.instance.uuid?.slice(0, 8)}`);
    const state = join(libvirtd.stateDirectory, 'swtpm', copy.instance.uuid ?? '', 'tpm2/tpm2-00.permall');
    expect((await readFile(variables)).equals(new Uint8Array(256 * 1024).fill(7))).toBe(true);
    expect((await readFile(state)).equals(permall)).toBe(true);
    for (const file of [variables, state]) expect((await stat(file)).mode & 0o777).toBe(0o600);
    await libvirtd.virsh('start', 'secure2', '--paused');
    await libvirtd.virsh('destroy', 'secure2');

    await source.manager.undefine('secure2');
    await stat(variables);
    await stat(state);
    await source.manager.undefine('secure');
    // With its own name and UUID again: what is there still is the same. The emulator is that of this host.
    await source.manager.define({
      ...request,
      native: withXml(described, '/usr/bin/qemu-system', '/none/qemu-system'),
      newIdentity: false,
    });
    const own = join(libvirtd.stateDirectory, 'swtpm', OWN_UUID);
    await source.manager.undefine('secure', { takesBack: true });
    await expect(stat(variablesOf('secure'))).rejects.toThrow('ENOENT');
    // That of the original was there before.
    await stat(own);
    await rm(own, { recursive: true });
    await source.manager.define({ ...request, newIdentity: false });
    await source.manager.undefine('secure', { takesBack: true });
    await expect(stat(own)).rejects.toThrow('ENOENT');

    await writeFile(variablesOf('secure'), 'of somebody else');
    await expect(source.manager.checkDefine({ ...request, newIdentity: false })).rejects.toThrow('secure_VARS.fd exists already');
    await expect(source.manager.define({ ...request, newIdentity: false })).rejects.toMatchObject({ code: 'exists' });
    expect(await readFile(variablesOf('secure'), 'utf8')).toBe('of somebody else');

    // What libvirt refuses leaves nothing.
    await rm(variablesOf('secure'));
    const native = withXml(described, "type='qemu'", "type='xen'");
    await expect(source.manager.define({ ...request, native, newIdentity: false })).rejects.toMatchObject({ name: 'InventoryError' });
    await expect(stat(variablesOf('secure'))).rejects.toThrow('ENOENT');
  }, 60_000);

  test('never go where the XML of an export says, and are never read through a link', async () => {
    const warnings: string[] = [];
    const source = sourceOf(libvirtd, { warn: (message) => warnings.push(message) });
    const chosen = join(libvirtd.directory, 'chosen/by/a/stranger');
    const disk = await makeDisk(join(libvirtd.directory, 'stranger.img'), 'x');
    const hostile = xml(libvirtd.directory)
      .replace(`${libvirtd.directory}/nvram/secure_VARS.fd`, chosen)
      .replace(`<uuid>${OWN_UUID}`, '<uuid>../../chosen');
    const native = [
      { name: 'domain.xml', secret: false, bytes: new TextEncoder().encode(hostile) },
      { name: 'nvram', secret: false, bytes: new Uint8Array(256 * 1024) },
      { name: 'swtpm.tpm2.tpm2-00.permall', secret: true, bytes: new Uint8Array(8) },
    ];
    const base = { name: 'secure', os: 'raw', hypervisor: 'qemu' };
    const request = { instance: complete({ instance: base, run: { state: 'stopped' }, guarded: [] }, [disk]), native, newIdentity: false };
    expect(await source.manager.define(request)).toBe('secure');
    await expect(stat(join(libvirtd.directory, 'chosen'))).rejects.toThrow('ENOENT');
    const { instance } = await source.describe('secure');
    expect(instance.uuid).toMatch(/^[0-9a-f-]{36}$/);

    const variables = join(libvirtd.stateDirectory, 'qemu/nvram/secure_VARS.fd');
    const state = join(libvirtd.stateDirectory, 'swtpm', instance.uuid ?? '', 'tpm2');
    const secrets = join(libvirtd.directory, 'secrets');
    await mkdir(secrets);
    await writeFile(join(secrets, 'tpm2-00.permall'), 'of root');
    for (const [place, target] of [
      [variables, join(secrets, 'tpm2-00.permall')],
      [state, secrets],
    ] as const) {
      await rm(place, { recursive: true });
      await symlink(target, place);
    }
    const { native: read = [] } = await source.describe('secure');
    expect(read.map(({ name }) => name)).toEqual(['domain.xml']);
    expect(warnings.filter((each) => each.includes('symbolic link')).length).toBe(2);
    await source.manager.undefine('secure');
  }, 60_000);
});

describe('a domain of a stranger', () => {
  const define = async (xml: string): Promise<readonly string[]> => {
    const warnings: string[] = [];
    const { manager } = sourceOf(libvirtd, { warn: (message) => warnings.push(message) });
    const base = { name: 'stranger', os: 'raw', hypervisor: 'qemu' };
    const instance = complete({ instance: base, run: { state: 'stopped' }, guarded: [] }, []);
    const bytes = new TextEncoder().encode(`<domain type='qemu'><name>stranger</name><memory>16384</memory>${xml}</domain>`);
    await manager.checkDefine({ instance, native: [{ name: 'domain.xml', secret: false, bytes }], newIdentity: true });
    return warnings;
  };
  const withDevices = (devices: string): string => `<os><type>hvm</type></os><devices>${devices}</devices>`;
  const QEMU = 'http://libvirt.org/schemas/domain/qemu/1.0';

  test.each([
    ['<commandline>', `<commandline xmlns='${QEMU}'><arg value='-snapshot'/></commandline>`],
    ['<x:commandline>', `<x:commandline xmlns:x='${QEMU}'><x:arg value='-snapshot'/></x:commandline>`],
    ['<interface>', withDevices(`<interface type='ethernet'><script path='/tmp/run'/></interface>`)],
    ['<interface>', withDevices(`<interface type='user'><backend type='passt' logFile='/etc/x'/></interface>`)],
    ['<serial>', withDevices(`<serial type='file'><source path='/etc/cron.d/x'/></serial>`)],
    ['<serial>', withDevices(`<serial type='unix'><source mode='connect' path='/run/docker.sock'/></serial>`)],
    ['<channel>', withDevices(`<channel type='dev'><source path='/dev/sda'/><target type='virtio'/></channel>`)],
    ['<audio>', withDevices(`<audio id='1' type='file' path='/etc/x'/>`)],
    ['<filesystem>', withDevices(`<filesystem type='mount'><source dir='/'/><target dir='root'/></filesystem>`)],
    ['<tpm>', withDevices(`<tpm><backend type='emulator'><source type='dir' path='/etc'/></backend></tpm>`)],
    ['<memory>', withDevices(`<memory model='nvdimm'><source><path>/dev/sda</path></source></memory>`)],
    ['<disk>', withDevices(`<disk xmlns:x='urn:x' type='file' x:device='cdrom'/>`)],
  ])('that could run programs or write files here is refused: %s in %s', async (part, xml) => {
    await expect(define(xml)).rejects.toMatchObject({
      code: 'failed',
      message: expect.stringMatching(new RegExp(`on this host: ${part}$`)),
    });
  });

  test('of which libvirt would take two parts together is refused', async () => {
    const twice = '<os><type>hvm</type></os><os><nvram>/etc/cron.d/x</nvram></os>';
    await expect(define(twice)).rejects.toMatchObject({ code: 'failed', message: expect.stringContaining('more than one <os>') });
  });

  test.each([
    ['<kernel>', '<os><type>hvm</type><kernel>etc/shadow</kernel></os>'],
    ['<loader>', `<os><type>hvm</type><loader>/usr/share/../../etc/shadow</loader></os>`],
    ['<nvram>', `<os><type>hvm</type><nvram template='/etc/shadow'/></os>`],
    ['<seclabel>', `<os><type>hvm</type></os><seclabel type='none'/>`],
    ['<sysinfo>', `<os/><sysinfo type='fwcfg'><entry name='opt/x' file='/etc/shadow'/></sysinfo>`],
    ['<hostdev>', withDevices(`<hostdev mode='subsystem' type='pci'/>`)],
    ['<rng>', withDevices(`<rng model='virtio'><backend model='random'>/dev/sda</backend></rng>`)],
    ['<later>', withDevices('<later/>')],
  ])('that reaches into the host is warned of: %s in %s', async (part, xml) => {
    expect(await define(xml)).toEqual([`the domain stranger reaches into this host: look at ${part} in its XML`]);
  });

  test('with ordinary parts causes no warning, and brings no media or logs', async () => {
    const log = `<serial type='pty'><log file='/etc/x'/></serial>`;
    const media = `<disk type='file' device='cdrom'><source file='/etc/shadow'/><target dev='sda' bus='sata'/></disk>`;
    const random = `<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>`;
    expect(await define(withDevices(log + media + random))).toEqual([]);
  });
});

test('a console that comes without its password listens on this host alone', async () => {
  const warnings: string[] = [];
  const source = sourceOf(libvirtd, { warn: (message) => warnings.push(message) });
  await defineXml(
    libvirtd,
    `<domain type='qemu'><name>console</name><memory>16384</memory><os><type>hvm</type></os><devices>
      <graphics type='vnc' port='-1' autoport='yes' listen='0.0.0.0' passwd='secret'/></devices></domain>`,
  );
  const described = await source.describe('console');
  await source.manager.undefine('console');
  const request = { instance: complete(described, []), native: described.native ?? [], newIdentity: false };
  await source.manager.checkDefine(request);
  expect(warnings).toEqual(['the vnc console of console will listen on 127.0.0.1 alone: it comes without a password']);
  await source.manager.define(request);
  const xml = await libvirtd.virsh('dumpxml', 'console');
  expect(xml).toContain("listen='127.0.0.1'");
  expect(xml).not.toContain('0.0.0.0');
  await source.manager.undefine('console');
});

describe('bad input', () => {
  test('virsh missing, and no rights', async () => {
    const missing = sourceOf(libvirtd, { env: { PATH: '/none' } });
    await expect(missing.describe('web1.example.com')).rejects.toMatchObject({
      code: 'unavailable',
      hint: expect.stringContaining('libvirt-clients'),
    });
    const asNobody = await wrapProgram(libvirtd.directory, 'virsh', 'exec setpriv --reuid 65534 --clear-groups /usr/bin/virsh "$@"');
    const denied = sourceOf(libvirtd, { env: { PATH: `${asNobody}:/usr/bin:/bin` } });
    await expect(Array.fromAsync(denied.list())).rejects.toMatchObject({ code: 'denied' });
  });

  test('a domain that libvirt lists and does not describe is reported, and the others are listed', async () => {
    // A driver that fails for one domain cannot be had here: another command fails in its place.
    const fails = `vol-dumpxml no-such-volume`;
    const path = await wrapProgram(
      libvirtd.directory,
      'virsh',
      `for word; do
  shift
  [ "$word" != ${OTHER} ] || { set -- "$1" "$2" "$3" ${fails}; break; }
  set -- "$@" "$(printf %s "$word" | sed -E 's/dumpxml (--inactive )?${OTHER}/${fails}/')"
done
exec /usr/bin/virsh "$@"`,
    );
    const warnings: string[] = [];
    const env = { PATH: `${path}:/usr/bin:/bin` };
    const source = sourceOf(libvirtd, { env, warn: (message) => warnings.push(message) });
    const problems: unknown[] = [];
    const names = (await Array.fromAsync(source.list({ onProblem: (error) => problems.push(error) }))).map(({ name }) => name);
    expect(names).toContain('web1.example.com');
    expect(names).not.toContain(ODD);
    expect(problems).toMatchObject([{ code: 'failed', message: expect.stringContaining(OTHER) }]);
    expect(warnings).toEqual([]);
    await Array.fromAsync(source.list());
    expect(warnings).toEqual([expect.stringContaining(`cannot describe the domain ${OTHER}`)]);
    await expect(source.describe(OTHER)).rejects.toMatchObject({ code: 'failed' });
  });

  test('libvirtd stopped in its tracks, and down', async () => {
    const slow = sourceOf(libvirtd, { timeoutMs: 1500 });
    await libvirtd.stop();
    await expect(slow.describe('web1.example.com')).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('1.5 s'),
    });
    const controller = new AbortController();
    const call = sourceOf(libvirtd).describe('web1.example.com', { signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(call).rejects.toThrow('enough');
    await libvirtd.kill();
    await expect(sourceOf(libvirtd).describe('web1.example.com')).rejects.toMatchObject({ code: 'unavailable' });
    await expect(sourceOf(libvirtd).manager.start('web1.example.com')).rejects.toMatchObject({ code: 'unavailable' });
    await libvirtd.start();
    expect((await sourceOf(libvirtd).describe('web1.example.com')).run.state).toBe('running');
  }, 60_000);
});
