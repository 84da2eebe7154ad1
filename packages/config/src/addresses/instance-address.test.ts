import { GantryError } from '@gantry/core';
import { describe, expect, test } from 'vitest';
import { parseInstanceAddress, parseSourceAddress } from './instance-address.ts';

function refusal(parse: () => unknown): GantryError {
  try {
    parse();
  } catch (error) {
    if (error instanceof GantryError) return error;
    throw error;
  }
  throw new Error('it was accepted');
}

describe('the address of an instance', () => {
  test.each([
    ['web1.yaml', 'file:///work', 'web1.yaml'],
    ['./ganeti:web1', 'file:///work', 'ganeti:web1'],
    ['/etc/gantry/web1.yaml', 'file:///etc/gantry', 'web1.yaml'],
    ['file:///etc/gantry/web%201.yaml', 'file:///etc/gantry/', 'web 1.yaml'],
    ['ganeti:web1', 'ganeti:', 'web1'],
    ['Ganeti:web1.example.com', 'ganeti:', 'web1.example.com'],
    ['ganeti://master:5080/web1', 'ganeti://master:5080', 'web1'],
    ['ganeti://user@master/web1?ca=/etc/ca', 'ganeti://user@master?ca=/etc/ca', 'web1'],
    ['libvirt:///session/web1', 'libvirt:///session', 'web1'],
    ['libvirt:///web1', 'libvirt:', 'web1'],
    ['libvirt:my%20machine', 'libvirt:', 'my%20machine'],
    ['libvirt:///my%20machine', 'libvirt:', 'my machine'],
    ['c:web1', 'file:///work', 'c:web1'],
  ])('%s is in %s, as %s', (text, source, name) => {
    const address = parseInstanceAddress(text, '/work');
    expect({ source: address.source.href, name: address.name }).toEqual({ source, name });
  });

  test.each([
    ['ganeti:', 'not an instance'],
    ['ganeti://master', 'not an instance'],
    ['ganeti://master/', 'not an instance'],
    ['file:web1.yaml', 'neither a URL nor a plain path'],
    ['https:web1.example.com', 'neither a URL nor a plain path'],
    ['wss:web1', 'neither a URL nor a plain path'],
    ['ganeti://user:secret@master/web1', 'has a password in it'],
    ['', 'is empty'],
    ['web1.yaml\n', 'white space'],
  ])('%j is refused: %s', (text, message) => {
    const error = refusal(() => parseInstanceAddress(text, '/work'));
    expect(error).toMatchObject({ code: 'INVENTORY_ADDRESS', exitCode: 3, message: expect.stringContaining(message) });
    expect(`${error.message} ${error.hint ?? ''}`).not.toContain('secret');
  });
});

describe('the name of an inventory', () => {
  const names = new Map([
    ['cluster', 'ganeti://master?ca=/etc/ca'],
    ['here', '/etc/gantry/instances'],
    ['libvirt', 'libvirt+ssh://node2'],
  ]);

  test.each([
    ['cluster:web1', 'ganeti://master?ca=/etc/ca', 'web1'],
    ['here:web1.example.com', 'file:///etc/gantry/instances', 'web1.example.com'],
    // A name wins over a scheme, as it does over a directory.
    ['libvirt:web1', 'libvirt+ssh://node2', 'web1'],
    ['ganeti:web1', 'ganeti:', 'web1'],
    ['./cluster:web1', 'file:///work', 'cluster:web1'],
    ['cluster', 'file:///work', 'cluster'],
  ])('%s is in %s, as %s', (text, source, name) => {
    const address = parseInstanceAddress(text, '/work', names);
    expect({ source: address.source.href, name: address.name }).toEqual({ source, name });
  });

  test.each([
    ['cluster', 'ganeti://master?ca=/etc/ca'],
    ['cluster:', 'ganeti://master?ca=/etc/ca'],
    ['here', 'file:///etc/gantry/instances'],
    ['./cluster', 'file:///work/cluster'],
    ['ganeti:', 'ganeti:'],
  ])('%s is the source %s', (text, href) => {
    expect(parseSourceAddress(text, '/work', names).href).toBe(href);
  });

  test('alone is not an instance, and with an instance not a source', () => {
    expect(refusal(() => parseInstanceAddress('cluster:', '/work', names)).message).toContain('not an instance');
    expect(refusal(() => parseSourceAddress('cluster:web1', '/work', names)).hint).toContain('gantry instances cluster: web1');
  });
});

describe('the address of a source', () => {
  test.each([
    ['/etc/gantry/instances', 'file:///etc/gantry/instances'],
    ['instances/', 'file:///work/instances'],
    ['file:///etc/gantry', 'file:///etc/gantry'],
    ['ganeti:', 'ganeti:'],
    ['ganeti://master/', 'ganeti://master'],
    ['libvirt:///session/', 'libvirt:///session'],
    ['libvirt:///', 'libvirt:'],
  ])('%s is %s', (text, href) => {
    expect(parseSourceAddress(text, '/work').href).toBe(href);
  });

  test('is not that of an instance', () => {
    const error = refusal(() => parseSourceAddress('ganeti:web1', '/work'));
    expect(error).toMatchObject({ code: 'INVENTORY_ADDRESS', hint: expect.stringContaining('gantry instances ganeti: web1') });
  });
});
