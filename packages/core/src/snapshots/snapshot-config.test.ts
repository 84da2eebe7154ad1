import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';

import { makeTemporaryDirectory } from '@gantry/testkit';
import { assert, constantFrom, array, property, string, stringMatching } from 'fast-check';
import { describe, expect, test } from 'vitest';

import { expand, placeholdersOf } from './placeholders.ts';
import { parseSnapshotConfig, readSnapshotConfig } from './snapshot-config.ts';

describe('placeholders', () => {
  test('are filled within the argument, and what fills them is not looked at again', () => {
    expect(expand('a{one}b{two}c', { one: '{two}', two: '$HOME "x"' })).toBe('a{two}b$HOME "x"c');
  });

  test('can be written as they are by doubling the braces', () => {
    expect(expand('{{{name}}} {{name}}', { name: 'x' })).toBe('{x} {name}');
    expect(placeholdersOf('{{name}}')).toEqual([]);
  });

  test.each(['{', '}', '{Name}', '{na me}', '{}', 'a{name', 'name}b'])('are not misread: %s is refused', (text) => {
    expect(() => placeholdersOf(text)).toThrow(/^a single . in/);
  });

  test('never change what holds no brace', () => {
    assert(
      property(
        string().filter((text) => !/[{}]/.test(text)),
        (text) => {
          expect(expand(text, {})).toBe(text);
        },
      ),
    );
  });

  test('doubling braces is undone by filling', () => {
    assert(
      property(string(), (text) => {
        expect(expand(text.replaceAll(/[{}]/g, '$&$&'), {})).toBe(text);
      }),
    );
  });

  test('give each value where its name stands', () => {
    const names = constantFrom('path', 'name', 'index');
    assert(
      property(array(names), stringMatching(/^[^{}]*$/), (list, between) => {
        const template = list.map((name) => `{${name}}`).join(between);
        expect(expand(template, { path: '<p>', name: '<n>', index: '<i>' })).toBe(list.map((name) => `<${name.charAt(0)}>`).join(between));
      }),
    );
  });
});

const pair = 'create: [lvcreate, "{path}"]\nremove: [lvremove, "{dirname}/{run}"]\n';

describe('the snapshot configuration', () => {
  test('is read, with timeouts for what it does not say', async () => {
    await using scratch = await makeTemporaryDirectory();
    await writeFile(scratch.file('snapshots.yaml'), `${pair}device: '{path}-{run}'\ntimeouts: {create: 5}\n`);
    expect(await readSnapshotConfig(scratch.file('snapshots.yaml'))).toEqual({
      create: ['lvcreate', '{path}'],
      remove: ['lvremove', '{dirname}/{run}'],
      device: '{path}-{run}',
      timeouts: { create: 5, remove: 60, freeze: 10, thaw: 10, pause: 60, resume: 60, device: 5 },
    });
  });

  test('may be JSON, and may freeze and thaw alone', () => {
    expect(parseSnapshotConfig('{"freeze": ["a", "{instance}"], "thaw": ["b", "{run}"]}', 'f')).toMatchObject({
      freeze: ['a', '{instance}'],
    });
  });

  test('needs nothing for guests of QEMU', () => {
    expect(parseSnapshotConfig('qemu: {}', 'test').qemu).toEqual({ reserve: 64, timeout: 30, frozen: 10 });
  });

  test.each([
    ['create: [a]', /remove: create and remove belong together/],
    ['remove: [a]', /remove: create and remove belong together/],
    ['freeze: [a]', /thaw: freeze and thaw belong together/],
    ['{}', /create: is missing: there must be at least create, freeze, pause, size, qemu or libvirt/],
    ['', /the file: .*expected object/],
    ['- a', /the file: .*expected object/],
    ['create: lvcreate -s\nremove: [a]', /create: .*expected (tuple|array)/],
    ['create: []\nremove: [a]', /create/],
    ['create: [""]\nremove: [a]', /create\.0/],
    ['create: [a, 5]\nremove: [a]', /create\.1: .*expected string/],
    ['create: [a, "{disk}"]\nremove: [a]', /create\.1: unknown placeholder \{disk\}; use \{instance\} \{run\} \{path\}/],
    ['create: [a, "{device}"]\nremove: [a]', /create\.1: unknown placeholder \{device\}/],
    ['create: [a, "{"]\nremove: [a]', /create\.1: a single \{ in/],
    ['create: [a]\nremove: [a, "{"]', /remove\.1: a single \{ in/],
    ['create: [a]\nremove: [a, "{device}"]', /remove: \{device\} can only be used if `device` is given/],
    ['freeze: [a, "{path}"]\nthaw: [b]', /freeze\.1: unknown placeholder \{path\}; use \{instance\} \{run\}/],
    [`${pair}device: dev/vg`, /device: must be an absolute path/],
    [`${pair}device: "{name}"`, /device: must be an absolute path/],
    [`${pair}device: "/dev/{device}"`, /device: unknown placeholder \{device\}/],
    [`${pair}timeouts: {create: -1}`, /timeouts\.create/],
    [`${pair}timeouts: {remove: 100000}`, /timeouts\.remove/],
    [`${pair}timeout: 5`, /Unrecognized key.*timeout/],
    ['qemu: {scratch: tmp}', /qemu\.scratch: must be an absolute path/],
    ['qemu: {scratch: /tmp, qmp: "{instance}"}', /qemu\.qmp: must be an absolute path/],
    ['qemu: {scratch: /tmp, qmp: "/run/{path}"}', /qemu\.qmp: unknown placeholder \{path\}; use \{instance\}$/],
    ['qemu: {scratch: /tmp, reserve: 0}', /qemu\.reserve/],
    ['libvirt: {scratch: tmp}', /libvirt\.scratch: must be an absolute path/],
    ['libvirt: {socket: tmp}', /libvirt\.socket: must be an absolute path/],
    ['libvirt: {freeze: yes}', /libvirt\.freeze: .*"never"\|"try"\|"require"/],
    ['libvirt: {frozen: 61}', /libvirt\.frozen: /],
    ['qemu: {agent: "{instance}.qga"}', /qemu\.agent: must be an absolute path/],
    ['qemu: {agent: /run/qga, frozen: 61}', /qemu\.frozen/],
    ['qemu: {agent: /run/qga, frozen: 1.5}', /qemu\.frozen/],
    ['create: [a', /is not valid YAML/],
  ])('is refused with the place of what is wrong: %s', (text, message) => {
    expect(() => parseSnapshotConfig(text, '/etc/snapshots.yaml')).toThrow(
      expect.objectContaining({
        code: 'USAGE',
        message: expect.stringMatching(message),
        hint: expect.stringContaining('/etc/snapshots.yaml'),
      }),
    );
  });

  test('that is a named pipe is refused, not waited for', async () => {
    await using directory = await makeTemporaryDirectory();
    await promisify(execFile)('mkfifo', [directory.file('snapshots.yaml')]);
    await expect(readSnapshotConfig(directory.file('snapshots.yaml'))).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining('not a regular file'),
    });
  });

  test('that does not exist is reported with its path', async () => {
    await expect(readSnapshotConfig('/nowhere/snapshots.yaml')).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringMatching(/\/nowhere\/snapshots.yaml.*no such file or directory/),
    });
  });
});
