import { describe, expect, test } from 'vitest';
import { GantryError } from '../report/errors.ts';
import { instanceJsonSchema, parseInstance } from './parse-instance.ts';

const options = { baseDirectory: '/srv/instances', hostName: 'node1.example.com' };
const least = { name: 'web1.example.com', os: 'raw', hypervisor: 'kvm' };

function failure(document: unknown): GantryError {
  try {
    parseInstance(document, { ...options, source: 'web1.yaml' });
  } catch (error) {
    if (error instanceof GantryError) return error;
    throw error;
  }
  throw new Error('accepted');
}

/** The message where only one thing is wrong. */
function problem(fields: object): string {
  const error = failure({ ...least, ...fields });
  expect(error.code).toBe('INSTANCE_INVALID');
  return error.message;
}

describe('what an instance is', () => {
  test('three fields are enough; the rest has defaults', () => {
    expect(parseInstance(least, options)).toEqual({
      ...least,
      primary_node: 'node1.example.com',
      secondary_nodes: [],
      tags: [],
      disks: [],
      nics: [],
      osparams: {},
      osparams_private: {},
      beparams: {},
      hvparams: {},
    });
  });

  test('every field of the format', () => {
    const uuid = '7f0c0f6e-5f0a-4b8e-9d57-0c8a1f6f2b11';
    const document = {
      name: 'web1.example.com',
      os: 'debootstrap+default',
      hypervisor: 'xen-pvm',
      uuid,
      primary_node: 'node2.example.com',
      secondary_nodes: ['node3.example.com'],
      disk_template: 'file',
      tags: ['web', 'prod'],
      disks: [
        {
          path: '/srv/disks/web1-0.img',
          size: 20480,
          access: 'ro',
          name: 'root',
          uuid,
          frontend_type: 'virtio',
          backend_type: 'file:blktap2',
        },
        { uri: 'rbd:pool/image', access: 'rw' },
      ],
      nics: [
        {
          mac: 'aa:00:00:35:4c:01',
          ip: '192.0.2.10',
          mode: 'openvswitch',
          link: 'br0',
          vlan: '.100:20',
          name: 'eth0',
          uuid,
          frontend_type: 'virtio',
          network: {
            name: 'lan',
            uuid,
            subnet: '192.0.2.0/24',
            gateway: '192.0.2.1',
            subnet6: '2001:db8::/64',
            gateway6: '2001:db8::1',
            mac_prefix: 'aa:00:01',
            tags: ['a'],
          },
        },
      ],
      osparams: { filesystem: 'ext4' },
      osparams_private: { root_password: 'hunter2' },
      beparams: { maxmem: '2048', vcpus: '2' },
      hvparams: { kernel_path: '' },
    };
    expect(parseInstance(document, options)).toEqual(document);
  });

  test('relative paths count from the directory of the file', () => {
    const { disks } = parseInstance(
      { ...least, disks: [{ path: 'web1-0.img' }, { path: '../disks/./web1-1.img' }, { path: '/dev//vg/web1' }] },
      options,
    );
    expect(disks.map(({ path }) => path)).toEqual(['/srv/instances/web1-0.img', '/srv/disks/web1-1.img', '/dev/vg/web1']);
  });

  test('parameters become text; scripts know nothing else', () => {
    const { osparams } = parseInstance({ ...least, osparams: { a: 1, b: true, c: 'x y', d: '', e: 1.5, f: 'two\nlines' } }, options);
    expect(osparams).toEqual({ a: '1', b: 'true', c: 'x y', d: '', e: '1.5', f: 'two\nlines' });
  });

  test('a size may come as the text of a number, as the reader of files gives it', () => {
    expect(parseInstance({ ...least, disks: [{ path: 'a', size: '20480' }] }, options).disks[0]?.size).toBe(20480);
  });
});

describe('what is wrong is named by its place', () => {
  test.each([
    [{ name: undefined }, 'web1.yaml: name is missing'],
    [
      { name: 123 },
      'name must be a host name of at most 200 characters (letters, digits and inner dashes, separated by dots), not a number: write it in quotes',
    ],
    [{ name: '../../etc' }, 'not "../../etc"'],
    [{ name: 'web_1' }, 'name must be a host name'],
    [{ name: '-web1' }, 'name must be a host name'],
    [{ name: 'web1.' }, 'name must be a host name'],
    [{ name: 'web1\n' }, 'not "web1\\n"'],
    [{ name: `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(9)}` }, 'of at most 200 characters'],
    [{ os: '' }, 'os must not be empty'],
    [{ os: null }, 'os has no value: write text, or leave the field out'],
    [{ hypervisor: 'k v m' }, 'hypervisor must be a word'],
    [{ uuid: '7e5' }, 'uuid must be a UUID such as 7f0c0f6e-5f0a-4b8e-9d57-0c8a1f6f2b11, not "7e5"'],
    [{ primary_node: 'node 1' }, 'primary_node must be a host name'],
    [{ tags: 'web' }, 'tags must be a list of tags, not text'],
    [{ tags: ['web', 'a b'] }, 'tags[1] must be a tag of at most 128 characters without whitespace, not "a b"'],
    [{ disks: {} }, 'disks must be a list of disks, not a group of fields'],
    [{ disks: ['/dev/vg/web1'] }, 'disks[0] must be a group of fields (path, size, …), not text'],
    [{ disks: [{ size: 5 }] }, 'disks[0] needs a path or a uri'],
    [{ disks: [{ path: 'a' }, { path: 'b', size: 5.5 }] }, 'disks[1].size must be a whole number of MiB from 1 to 8589934591, not 5.5'],
    [{ disks: [{ path: 'a', size: 0 }] }, 'disks[0].size must be'],
    [{ disks: [{ path: 'a', size: -5 }] }, 'disks[0].size must be'],
    [{ disks: [{ path: 'a', size: '20 GiB' }] }, 'not "20 GiB"'],
    [{ disks: [{ path: 'a', size: 1e15 }] }, 'disks[0].size must be'],
    [{ disks: [{ path: 'a\0b' }] }, 'disks[0].path must not contain control characters'],
    [{ disks: [{ path: 'a', access: 'W' }] }, 'disks[0].access must be rw or ro'],
    [{ disks: [{ path: 'a', backend_type: 'file' }] }, 'disks[0].backend_type must be block, file:loop, file:blktap or file:blktap2'],
    [{ disks: [{ uri: 'no scheme' }] }, 'disks[0].uri must be a URI'],
    [{ disks: Array.from({ length: 257 }, (_, index) => ({ path: `d${index}` })) }, 'disks must be at most 256 disks'],
    [{ nics: [{}] }, 'nics[0].mac is missing'],
    [{ nics: [{ mac: 'aa:00:00:35:4c' }] }, 'nics[0].mac must be a MAC address such as aa:00:00:35:4c:01, not "aa:00:00:35:4c"'],
    [{ nics: [{ mac: 'aa:00:00:35:4c:01', ip: '192.0.2.300' }] }, 'nics[0].ip must be an IPv4 or IPv6 address, not "192.0.2.300"'],
    [{ nics: [{ mac: 'aa:00:00:35:4c:01', mode: 'nat' }] }, 'nics[0].mode must be bridged, routed, openvswitch or ext'],
    [{ nics: [{ mac: 'aa:00:00:35:4c:01', vlan: '1,2' }] }, 'nics[0].vlan must be a VLAN'],
    [{ nics: [{ mac: 'aa:00:00:35:4c:01', network: {} }] }, 'nics[0].network.name is missing'],
    [
      { nics: [{ mac: 'aa:00:00:35:4c:01', network: { name: 'lan', subnet: '192.0.2.0/33' } }] },
      'nics[0].network.subnet must be an IPv4 network',
    ],
    [
      { nics: [{ mac: 'aa:00:00:35:4c:01', network: { name: 'lan', subnet6: '192.0.2.0/24' } }] },
      'nics[0].network.subnet6 must be an IPv6 network',
    ],
    [{ nics: [{ mac: 'aa:00:00:35:4c:01', network: { name: 'lan', gateway: '::1' } }] }, 'nics[0].network.gateway must be an IPv4 address'],
    [{ nics: [{ mac: 'aa:00:00:35:4c:01', network: { name: 'lan', mac_prefix: 'aa:00' } }] }, 'nics[0].network.mac_prefix must be'],
    [{ osparams: ['a'] }, 'osparams must be a group of parameters, not a list'],
    [{ osparams: { 'a=b': 'c' } }, 'osparams."a=b" is not a valid parameter name'],
    [{ osparams: { a: 'b\0c' } }, 'osparams.a must not contain NUL characters'],
    [{ beparams: { maxmem: null } }, 'beparams.maxmem has no value'],
    [{ osparams: { a: '1' }, osparams_private: { a: '2' } }, 'osparams_private.a is given as a public parameter too'],
  ])('%j', (fields, message) => {
    expect(problem(fields)).toContain(message);
  });

  test.each([[null], [undefined], ['text'], [[least]], [5]])('%j is not an instance', (document) => {
    expect(failure(document).message).toBe('web1.yaml: the document is empty or not a group of fields (name: …, os: …, hypervisor: …)');
  });

  test('an unknown field is named with the nearest one that there is', () => {
    expect(problem({ hypervsor: 'kvm' })).toBe('web1.yaml: hypervsor is not a field that Gantry knows; did you mean hypervisor?');
    expect(problem({ disks: [{ path: 'a', sise: 5 }] })).toContain('disks[0].sise is not a field that Gantry knows; did you mean size?');
    expect(problem({ nics: [{ mac: 'aa:00:00:35:4c:01', lnik: 'br0' }] })).toContain('did you mean link?');
    expect(problem({ nics: [{ mac: 'aa:00:00:35:4c:01', network: { name: 'a', gatway: '::1' } }] })).toContain('did you mean gateway?');
    expect(problem({ '\u001b[31m': 1 })).toBe('web1.yaml: "\\u001b[31m" is not a field that Gantry knows');
  });

  test('all problems are listed together', () => {
    const { message, details } = failure({ name: 'a b', os: 'raw', disks: [{}, { path: '', size: 'x' }] });
    expect(message).toBe('web1.yaml: 5 fields are not valid');
    expect(details.map((line) => line.split(' ')[0])).toEqual(['name', 'hypervisor', 'disks[0]', 'disks[1].path', 'disks[1].size']);
  });

  test('problems without end are counted, and the first 20 are listed', () => {
    const unknown = Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [`field${index}`, 'x']));
    const error = failure({ ...least, ...unknown });
    expect(error.message).toBe('web1.yaml: 5000 fields are not valid');
    expect(error.details).toHaveLength(21);
    expect(error.details.at(-1)).toBe('and 4980 more');
  });

  test.each([
    ['tags', Array.from({ length: 1001 }, (_, index) => `t${index}`), 'tags must be at most 1000 tags'],
    [
      'osparams',
      Object.fromEntries(Array.from({ length: 1001 }, (_, index) => [`p${index}`, ''])),
      'osparams must be at most 1000 parameters',
    ],
    ['disks', Array.from({ length: 257 }, (_, index) => ({ path: `/dev/x${index}` })), 'disks must be at most 256 disks'],
  ])('more %s than manifests and config.ini have room for', (field, value, problem) => {
    expect(failure({ ...least, [field]: value }).message).toBe(`web1.yaml: ${problem}`);
  });

  test('two disks in one place are refused, however the path is written', () => {
    expect(problem({ disks: [{ path: 'a.img' }, { path: 'b.img' }, { path: './x/../a.img' }] })).toBe(
      'web1.yaml: disks[2].path is the same as that of disk 0: /srv/instances/a.img',
    );
    expect(problem({ disks: [{ uri: 'rbd:p/i' }, { uri: 'rbd:p/i' }] })).toContain('disks[1].uri is the same as that of disk 0');
  });

  test.each(['rbd:p/i:id=web:key=AQBhunter2==', String.raw`rbd:p/i:\key\=AQBhunter2`, 'rbd:p/i:conf=/c: Key=AQB hunter2'])(
    'a URI with the key of a Ceph user is refused, and not repeated: %s',
    (uri) => {
      const { message, details } = failure({ ...least, disks: [{ uri }] });
      expect(message).toContain('disks[0].uri must not have the option key');
      expect([message, ...details].join('\n')).not.toContain('hunter2');
    },
  );

  test('values of private parameters are never repeated, nor what may be one by mistake', () => {
    for (const osparams_private of [
      { p: ['hunter2'] },
      { p: { hunter2: 1 } },
      { p: 'hunter2\0' },
      'hunter2',
      { 'p:hunter2': null },
      [{ p: 'hunter2' }],
    ]) {
      const { message, details } = failure({ ...least, osparams_private });
      expect([message, ...details].join('\n')).not.toContain('hunter2');
    }
  });
});

/** As oxfmt has it: lists of plain values in one line. `vitest run -u` writes it anew after a change of the schema. */
function inFile(schema: unknown): string {
  return `${JSON.stringify(schema, null, 2).replaceAll(/\[\n\s+([^[\]{}]*?)\n\s+\]/g, (_all, items: string) => `[${items.replaceAll(/\n\s+/g, ' ')}]`)}\n`;
}

test('the JSON Schema in the package is the one that the source makes', async () => {
  await expect(inFile(instanceJsonSchema())).toMatchFileSnapshot('../../schema/instance.schema.json');
});
