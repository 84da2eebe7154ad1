import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { Identities, Recipients } from './index.ts';
import { chunksOf, collect, sourceOf } from './testing/files.ts';

const directory = await mkdtemp(join(tmpdir(), 'gantry-age-'));
afterAll(() => rm(directory, { recursive: true }));
const path = (name: string): string => join(directory, name);

/** Runs `age`, which asks for passphrases on a terminal only. @returns what the terminal shows */
async function ageOnTerminal(parameters: string, typed: string): Promise<string> {
  return await new Promise((resolve, reject) => {
    const child = execFile('script', ['-qefc', `age ${parameters}`, '/dev/null'], { cwd: directory }, (error, stdout) =>
      error === null ? resolve(stdout) : reject(error),
    );
    child.stdin?.end(typed);
  });
}

const hello = Buffer.from('hello');

test('a file with a passphrase is read by age, and by nobody with another passphrase', async () => {
  const file = await Recipients.passphrase('open sesame').startFile();
  const sealed = await collect(file.encrypt(chunksOf(hello, 2)));
  await writeFile(path('ours'), sealed);
  await ageOnTerminal('-d -o out ours', 'open sesame\n');
  expect(await readFile(path('out'))).toEqual(hello);
  const others = [Identities.passphrase('open'), Identities.passphrase('')];
  for (const other of others) await expect(other.open(sourceOf(sealed))).rejects.toMatchObject({ code: 'no-identity' });
});

test('a file whose key would take too long to derive is refused with its work factor', async () => {
  const stanza = `-> scrypt ${'A'.repeat(22)} 22\n${'A'.repeat(43)}\n`;
  const file = Buffer.from(`age-encryption.org/v1\n${stanza}--- ${'A'.repeat(43)}\n${' '.repeat(64)}`);
  await expect(Identities.passphrase('open sesame').open(sourceOf(file))).rejects.toMatchObject({
    code: 'damaged',
    message: expect.stringMatching(/takes too long: work factor 22, at most 20/),
  });
});

test('a file that age has encrypted with a passphrase is read', async () => {
  await writeFile(path('in'), hello);
  await ageOnTerminal('-p -o theirs in', 'open sesame\nopen sesame\n');
  const sealed = await Identities.passphrase('open sesame').open(sourceOf(await readFile(path('theirs'))));
  expect(await collect(sealed.read())).toEqual(hello);
});
