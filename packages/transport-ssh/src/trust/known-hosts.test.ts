import { randomBytes } from 'node:crypto';
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { makeSshKey, makeTemporaryDirectory } from '@gantry/testkit';
import { describe, expect, test } from 'vitest';
import { fingerprint, judgeHostKey, knownHostName, knownKeyTypes, parseKnownHosts } from './known-hosts.ts';

const run = promisify(execFile);

/** A random key in the right format. */
function keyOf(type: string, seed: string = randomBytes(8).toString('hex')): Buffer {
  const field = (bytes: Buffer): Buffer => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return Buffer.concat([length, bytes]);
  };
  return Buffer.concat([field(Buffer.from(type)), field(Buffer.from(seed))]);
}

function line(hosts: string, key: Buffer, marker = ''): string {
  const type = key.toString('latin1', 4, 4 + key.readUInt32BE(0));
  return `${marker}${marker === '' ? '' : ' '}${hosts} ${type} ${key.toString('base64')} a comment\n`;
}

const [KEY, OTHER] = [keyOf('ssh-ed25519'), keyOf('ssh-ed25519')];

describe('the verdict on a host key', () => {
  test.each([
    ['its own name', 'peer', 'peer', 'known'],
    ['case is ignored', 'Peer.Example.COM', 'peer.example.com', 'known'],
    ['one of several names', 'a,b,peer', 'peer', 'known'],
    ['a pattern', '*.example.com', 'x.example.com', 'known'],
    ['a pattern of one character', 'node?', 'node1', 'known'],
    ['a pattern that is too short', 'node?', 'node', 'unknown'],
    ['a name that is excluded', '*.example.com,!bad.example.com', 'bad.example.com', 'unknown'],
    ['another port', '[peer]:2222', 'peer', 'unknown'],
    ['its port', '[peer]:2222', '[peer]:2222', 'known'],
    ['a name with the same prefix', 'peer', 'peer2', 'unknown'],
    ['dots are dots', 'a.b', 'aXb', 'unknown'],
  ] as const)('%s: %s', (_what, hosts, name, verdict) => {
    expect(judgeHostKey(parseKnownHosts(line(hosts, KEY)), name, KEY)).toBe(verdict);
  });

  test.each([
    ['another key of the type', line('peer', OTHER), 'changed'],
    ['a key of another type', line('peer', keyOf('ssh-rsa')), 'changed'],
    ['the key and another', line('peer', OTHER) + line('peer', KEY), 'known'],
    ['the key, revoked', line('peer', KEY) + line('*', KEY, '@revoked'), 'revoked'],
    ['another key, revoked', line('peer', KEY) + line('*', OTHER, '@revoked'), 'known'],
    ['a revoked key alone', line('peer', OTHER, '@revoked'), 'unknown'],
    ['an authority alone', line('*', OTHER, '@cert-authority'), 'authority'],
    ['an authority whose key is shown', line('*', KEY, '@cert-authority'), 'authority'],
    ['an authority beside the key', line('*', OTHER, '@cert-authority') + line('peer', KEY), 'known'],
    ['an unknown marker', line('peer', KEY, '@something'), 'unknown'],
    ['a comment', `# ${line('peer', KEY)}`, 'unknown'],
    ['a damaged key', 'peer ssh-ed25519 AAAA\n', 'unknown'],
    ['a key that says another type', `peer ssh-rsa ${KEY.toString('base64')}\n`, 'unknown'],
    ['an old key of protocol 1', 'peer 1024 35 1234567\n', 'unknown'],
  ] as const)('%s', (_what, text, verdict) => {
    expect(judgeHostKey(parseKnownHosts(text), 'peer', KEY)).toBe(verdict);
  });

  test('the types of the known keys, without authorities', () => {
    const text = line('peer', KEY) + line('peer', keyOf('ssh-rsa')) + line('*', keyOf('ecdsa-sha2-nistp256'), '@cert-authority');
    expect(knownKeyTypes(parseKnownHosts(text), 'peer')).toEqual(new Set(['ssh-ed25519', 'ssh-rsa']));
  });
});

test('exactly the names that ssh-keygen hashed are found; fingerprints are as ssh-keygen shows them', async () => {
  await using directory = await makeTemporaryDirectory();
  await makeSshKey(directory.file('key'));
  const [type = '', encoded = ''] = (await readFile(directory.file('key.pub'), 'utf8')).split(' ');
  const key = Buffer.from(encoded, 'base64');
  const names = ['peer', '[peer]:2222', '2001:db8::1', 'other.example.com'];
  await writeFile(directory.file('known_hosts'), names.map((name) => `${name} ${type} ${encoded}\n`).join(''));
  await run('ssh-keygen', ['-H', '-f', directory.file('known_hosts')]);
  const text = await readFile(directory.file('known_hosts'), 'utf8');
  expect(text).not.toContain('peer');
  const known = parseKnownHosts(text);
  for (const name of names) expect(judgeHostKey(known, name, key), name).toBe('known');
  for (const name of ['pee', '[peer]:22', 'example.com']) expect(judgeHostKey(known, name, key), name).toBe('unknown');
  const { stdout } = await run('ssh-keygen', ['-l', '-f', directory.file('key.pub')]);
  expect(stdout).toContain(` ${fingerprint(key)} `);
});

test('a name is stored with its port, except for 22', () => {
  expect(knownHostName('Peer', 22)).toBe('peer');
  expect(knownHostName('Peer', 2222)).toBe('[peer]:2222');
  expect(knownHostName('2001:DB8::1', 2222)).toBe('[2001:db8::1]:2222');
});

test('written keys are found, between any other lines', () => {
  const name = fc.stringMatching(/^[a-z0-9]([a-z0-9.-]{0,20}[a-z0-9])?$/);
  const noise = fc.constantFrom('', '\n', '# x\n', 'broken\n', '@x y z\n', ' \t \n', 'host ssh-ed25519 !!!\n');
  fc.assert(
    fc.property(fc.array(fc.tuple(name, fc.stringMatching(/^[0-9a-f]{16}$/), noise), { minLength: 1 }), (entries) => {
      const text = entries.map(([host, seed, after]) => line(host, keyOf('ssh-ed25519', seed)) + after).join('');
      const known = parseKnownHosts(text);
      expect(known.length).toBe(entries.length);
      for (const [host, seed] of entries) expect(judgeHostKey(known, host, keyOf('ssh-ed25519', seed))).toBe('known');
    }),
  );
});

test('any text is parsed without an error, and does not make a key trusted', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (text, name) => {
      expect(['unknown', 'changed', 'authority']).toContain(judgeHostKey(parseKnownHosts(text), name, KEY));
    }),
  );
});

test('patterns match like the equivalent regular expressions, in bounded time', () => {
  const pattern = fc.stringMatching(/^[ab*?.]{1,12}$/);
  const name = fc.stringMatching(/^[ab.]{1,12}$/);
  fc.assert(
    fc.property(pattern, name, (pattern, name) => {
      const regex = new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll('*', '.*').replaceAll('?', '.')}$`);
      expect(judgeHostKey(parseKnownHosts(line(pattern, KEY)), name, KEY)).toBe(regex.test(name) ? 'known' : 'unknown');
    }),
  );
  const started = performance.now();
  judgeHostKey(parseKnownHosts(line(`${'*a'.repeat(200)}b`, KEY)), 'a'.repeat(5000), KEY);
  // Some milliseconds; with backtracking it would not end.
  expect(performance.now() - started).toBeLessThan(20_000);
});
