import fc from 'fast-check';
import { isStoreError } from '@gantry/transport';
import { describe, expect, test } from 'vitest';
import { parseAddress } from './address.ts';

function parse(text: string): ReturnType<typeof parseAddress> {
  return parseAddress(new URL(text));
}

test('an address with every part and option', () => {
  const text =
    'ssh://backup@peer.example.com:2222/srv/my%20exports/?engine=ssh2&hostKeys=accept-new&config=/c&identity=/a&identity=/b&knownHosts=/k&connections=3&connectTimeout=5&stallTimeout=7&keepAlive=0';
  expect(parse(text)).toEqual({
    href: text,
    shown: 'ssh://backup@peer.example.com:2222/srv/my%20exports/',
    host: 'peer.example.com',
    user: 'backup',
    port: 2222,
    directory: '/srv/my exports',
    engine: 'ssh2',
    hostKeys: 'accept-new',
    configFile: '/c',
    identityFiles: ['/a', '/b'],
    knownHostsFiles: ['/k'],
    connections: 3,
    connectTimeoutMs: 5000,
    stallTimeoutMs: 7000,
    keepAliveMs: 0,
  });
});

test('optional parts and their defaults', () => {
  expect(parse('ssh://peer/x')).toMatchObject({ host: 'peer', user: undefined, port: undefined, engine: undefined, hostKeys: 'strict' });
  expect(parse('ssh://[2001:db8::1]/x').host).toBe('2001:db8::1');
  expect(parse('ssh://peer/').directory).toBe('/');
  expect(parse('ssh://peer/~/exports').directory).toBe('~/exports');
  expect(parse('ssh://peer/~').directory).toBe('~');
  expect(parse('ssh://peer//srv///x').directory).toBe('/srv/x');
});

test('a link-local address with its interface, which a URL holds as %XX, is shown as the user wrote it', () => {
  expect(parse('ssh://root@fe80%3A%3A1%25eth0:2222/x?engine=ssh2')).toMatchObject({
    host: 'fe80::1%eth0',
    port: 2222,
    shown: 'ssh://root@[fe80::1%eth0]:2222/x',
    href: 'ssh://root@[fe80::1%eth0]:2222/x?engine=ssh2',
  });
});

describe('an invalid address', () => {
  test.each([
    ['a password', 'ssh://user:secret@peer/x', 'password'],
    ['no host', 'ssh:///x', 'host'],
    ['a host that is an option', 'ssh://-oProxyCommand=x/x', 'host'],
    ['a host with a command in it', 'ssh://a%3Bb/x', 'host'],
    ['an interface of a name', 'ssh://peer%25eth0/x', 'host'],
    ['an interface that is a command', 'ssh://fe80%3A%3A1%25%24(id)/x', 'host'],
    ['a user that is an option', 'ssh://-l@peer/x', 'user'],
    ['a user with a space', 'ssh://a%20b@peer/x', 'user'],
    ['no directory', 'ssh://peer', 'directory'],
    ['a directory with a line break', 'ssh://peer/a%0Ab', 'directory'],
    ['a directory with ..', 'ssh://peer/a%2F..%2Fb', 'directory'],
    ['a fragment', 'ssh://peer/a#b', '#'],
    ['a broken escape', 'ssh://peer/%ff', '%'],
    ['an unknown option', 'ssh://peer/x?speed=fast', 'speed'],
    ['an unknown engine', 'ssh://peer/x?engine=putty', 'engine'],
    ['host keys that are not checked', 'ssh://peer/x?hostKeys=no', 'hostKeys'],
    ['no connections', 'ssh://peer/x?connections=0', 'connections'],
    ['a time that is not a number', 'ssh://peer/x?stallTimeout=1e3', 'stallTimeout'],
    ['an empty file name', 'ssh://peer/x?identity=', 'identity'],
  ])('with %s is refused, and the error names it', (_what, text, named) => {
    let error: unknown;
    try {
      parse(text);
    } catch (caught) {
      error = caught;
    }
    expect(isStoreError(error, 'invalid-address'), String(error)).toBe(true);
    expect(String(error)).toContain(named);
    expect(String(error)).not.toContain('secret');
  });

  test('with a directory of any length is refused with a message that shows only its start', () => {
    expect(() => parse(`ssh://peer/a%2F..${'/x'.repeat(50_000)}`)).toThrow(/^invalid address: .{1,250} is not a valid directory$/);
  });
});

test('any URL is parsed or refused, and a parsed one has nothing that ssh would take for an option', () => {
  fc.assert(
    fc.property(fc.webUrl({ withQueryParameters: true, withFragments: true }), fc.string(), (url, user) => {
      const text = url.replace(/^https?:\/\//, `ssh://${encodeURIComponent(user)}@`);
      const parsed = URL.parse(text);
      if (parsed === null) return;
      try {
        const { host, user, directory } = parseAddress(parsed);
        expect(host).not.toMatch(/^-|[\s\p{Cc}]/u);
        expect(user ?? '').not.toMatch(/^-|[\s\p{Cc}]/u);
        expect(directory).toMatch(/^[/~]/);
      } catch (error) {
        expect(isStoreError(error, 'invalid-address'), String(error)).toBe(true);
      }
    }),
  );
});
