import { X509Certificate } from 'node:crypto';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { inspect } from 'node:util';
import { makeTemporaryDirectory } from '@gantry/testkit';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DomainSecret } from './domain-secret.ts';
import { createIdentity, readSignedCertificate, signCertificate } from './identity.ts';

/* Ganeti's own code is the judge: /usr/share/ganeti/3.0. */

const KEY = 'f00fc7c8d1ab-äöü';
let scratch: Awaited<ReturnType<typeof makeTemporaryDirectory>>;
let secret: DomainSecret;
let other: DomainSecret;

beforeAll(async () => {
  scratch = await makeTemporaryDirectory();
  secret = await DomainSecret.read(await fileWith(`${KEY}\n`));
  other = await DomainSecret.read(await fileWith('another\n'));
});
afterAll(() => scratch[Symbol.asyncDispose]());

let number = 0;
async function fileWith(content: string, mode = 0o600): Promise<string> {
  const path = scratch.file(`secret-${(number += 1)}`);
  await writeFile(path, content);
  await chmod(path, mode);
  return path;
}

/** What Ganeti's Python says; `data` comes as JSON on its standard input. */
async function ganeti(script: string, data: unknown): Promise<string> {
  const prologue = 'import sys, json; sys.path.insert(0, "/usr/share/ganeti/3.0"); from ganeti import utils; data = json.load(sys.stdin)';
  const { stdout } = await execa('/usr/bin/python3', ['-W', 'ignore', '-c', `${prologue}\n${script}`], { input: JSON.stringify(data) });
  return stdout;
}

describe('DomainSecret', () => {
  test('signs as Ganeti does, and believes what Ganeti signed', async () => {
    const text = "0:Hi, I'm Ganeti ü";
    const { digest, salt } = secret.sign(text);
    const digests = 'print(utils.Sha1Hmac(data["key"], data["text"], salt=data["salt"]))';
    expect(await ganeti(digests, { key: KEY, text, salt })).toBe(digest);
    expect(secret.verify(text, { digest: digest.toUpperCase(), salt })).toBe(true);
    expect(secret.verify(`${text}.`, { digest, salt })).toBe(false);
    expect(secret.verify(text, { digest, salt: `${salt}0` })).toBe(false);
    expect(secret.verify(text, { digest: digest.slice(1), salt })).toBe(false);
    expect(other.verify(text, { digest, salt })).toBe(false);
  });

  test('is in nothing that can be printed', () => {
    expect(`${inspect(secret, { showHidden: true, depth: 9 })}${JSON.stringify(secret)}`).not.toContain(KEY);
  });

  test.each([0o640, 0o600, 0o400])('takes a file of mode %o', async (mode) => {
    await expect(DomainSecret.read(await fileWith('one\n\n', mode))).resolves.toBeInstanceOf(DomainSecret);
  });

  test.each([0o644, 0o604, 0o660, 0o622])('refuses a file of mode %o, and shows none of its contents', async (mode) => {
    const refusal = DomainSecret.read(await fileWith('geheim', mode));
    await expect(refusal).rejects.toMatchObject({ code: 'denied', message: expect.stringContaining(`mode is ${mode.toString(8)}`) });
    await expect(refusal).rejects.not.toMatchObject({ message: expect.stringContaining('geheim') });
  });

  test('refuses what is not one line in a file', async () => {
    await expect(DomainSecret.read(scratch.file('missing'))).rejects.toMatchObject({ code: 'denied' });
    await expect(DomainSecret.read(await fileWith('\n\n'))).rejects.toMatchObject({ message: expect.stringContaining('empty') });
    await expect(DomainSecret.read(await fileWith('one\ntwo\n'))).rejects.toMatchObject({ message: expect.stringContaining('one line') });
    await expect(DomainSecret.read(await fileWith('x'.repeat(5000)))).rejects.toMatchObject({ message: expect.stringContaining('5000') });
    await mkdir(scratch.file('directory'));
    await expect(DomainSecret.read(scratch.file('directory'))).rejects.toMatchObject({ message: expect.stringContaining('regular file') });
  });
});

describe('certificates', () => {
  test('Ganeti believes ours, and finds it valid', async () => {
    const pem = signCertificate(await createIdentity('192.0.2.7'), secret);
    const script = [
      'cert, salt = utils.LoadSignedX509Certificate(data["pem"], data["key"])',
      'print(cert.get_subject().CN, utils.VerifyX509Certificate(cert, None, None, True))',
    ].join('\n');
    expect(await ganeti(script, { pem, key: KEY })).toBe('ganeti.example.com (None, None)');
  });

  test('has the names that an exporter looks for', async () => {
    const { certificate } = await createIdentity('192.0.2.7');
    const parsed = new X509Certificate(certificate);
    expect(parsed.checkHost('ganeti.example.com')).toBe('ganeti.example.com');
    expect(parsed.checkIP('192.0.2.7')).toBe('192.0.2.7');
    expect(new X509Certificate((await createIdentity('gantry.example.com')).certificate).checkHost('gantry.example.com')).toBeDefined();
    expect(new X509Certificate((await createIdentity('2001:db8::7')).certificate).checkIP('2001:db8::7')).toBe('2001:db8::7');
  });

  test('two have different keys and numbers', async () => {
    const [one, two] = [await createIdentity(), await createIdentity()].map(({ certificate }) => new X509Certificate(certificate));
    expect(one?.serialNumber).not.toBe(two?.serialNumber);
    expect(one?.publicKey.equals(two?.publicKey ?? one.publicKey)).toBe(false);
  });

  test('what Ganeti signed is believed, if the secret is the same', async () => {
    const script = [
      'import OpenSSL',
      'key, pem = utils.GenerateSelfSignedX509Cert("node1.example.com", 3600, 4711)',
      'cert = OpenSSL.crypto.load_certificate(OpenSSL.crypto.FILETYPE_PEM, pem)',
      'print(utils.SignX509Certificate(cert, data["key"], "a1b2c3"))',
    ].join('\n');
    const signed = await ganeti(script, { key: KEY });
    expect(readSignedCertificate(`${signed}\n`, secret).subject).toBe('CN=node1.example.com');
    expect(() => readSignedCertificate(`${signed}\n`, other)).toThrow('another domain secret');
    expect(() => readSignedCertificate(signed.replace('X-Ganeti-Signature', 'X-Other'), secret)).toThrow('no signed certificate');
    expect(() => readSignedCertificate('', secret)).toThrow('no signed certificate');
    const { certificate } = await createIdentity();
    expect(() => readSignedCertificate(`${signed.slice(0, signed.indexOf('-----'))}${certificate}`, secret)).toThrow('signature');
  });
});
