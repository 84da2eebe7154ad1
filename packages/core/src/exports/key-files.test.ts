import { Recipients } from '@gantry/age';
import { makeTemporaryDirectory } from '@gantry/testkit';
import { execa } from 'execa';
import { chmod, chown, readFile, writeFile } from 'node:fs/promises';
import { afterAll, describe, expect, test } from 'vitest';
import { readIdentityFiles, readRecipientsFiles } from './key-files.ts';

const directory = await makeTemporaryDirectory();
afterAll(() => directory[Symbol.asyncDispose]());

const key = directory.file('key.txt');
await execa('age-keygen', ['-o', key]);
const { stdout: recipient } = await execa('age-keygen', ['-y', key]);

async function fileOf(name: string, content: string | Uint8Array, mode = 0o600): Promise<string> {
  const path = directory.file(name);
  await writeFile(path, content);
  await chmod(path, mode);
  return path;
}

/** Types into a terminal. */
async function onTerminal(command: string, typed: string): Promise<void> {
  await execa('script', ['-qefc', command, '/dev/null'], { input: typed, cwd: directory.path });
}

const unusable = (message: RegExp): object =>
  expect.objectContaining({ code: 'IDENTITY_UNUSABLE', message: expect.stringMatching(message) });

describe('an identity file', () => {
  test('of age-keygen is read, and several are together', async () => {
    const other = directory.file('other.txt');
    await execa('age-keygen', ['-o', other]);
    const { stdout: otherRecipient } = await execa('age-keygen', ['-y', other]);
    expect(await (await readIdentityFiles([key, other])).recipients()).toEqual([recipient, otherRecipient]);
  });

  test.each(['', '-a'])('that age encrypted with a passphrase (%s) is read after the passphrase was asked for', async (armor) => {
    const name = `locked${armor}`;
    await onTerminal(`age -p ${armor} -o ${name} key.txt`, 'open sesame\nopen sesame\n');
    await chmod(directory.file(name), 0o600);
    const asked: string[] = [];
    const askPassphrase = async (file: string): Promise<string> => {
      asked.push(file);
      return 'open sesame';
    };
    expect(await (await readIdentityFiles([directory.file(name)], { askPassphrase })).recipients()).toEqual([recipient]);
    expect(asked).toEqual([directory.file(name)]);
    await expect(readIdentityFiles([directory.file(name)], { askPassphrase: async () => 'open' })).rejects.toThrow(
      unusable(/passphrase is wrong/),
    );
    await expect(readIdentityFiles([directory.file(name)])).rejects.toThrow(unusable(/no terminal/));
  });

  test.each(['', '-a'])('that age encrypted to a recipient (%s) is refused, and no passphrase is asked for', async (armor) => {
    const sealed = directory.file(`sealed${armor}.age`);
    await execa('age', [...(armor === '' ? [] : [armor]), '-r', recipient, '-o', sealed, key]);
    await chmod(sealed, 0o600);
    const askPassphrase = (): never => expect.unreachable();
    await expect(readIdentityFiles([sealed], { askPassphrase })).rejects.toThrow(unusable(/encrypted to a recipient, and not with a pass/));
  });

  test.each([0o640, 0o644, 0o604, 0o660, 0o602])('with mode %o is refused, with the command that closes it', async (mode) => {
    const open = await fileOf('open', await readFile(key), mode);
    await expect(readIdentityFiles([open])).rejects.toMatchObject({
      code: 'IDENTITY_UNUSABLE',
      message: expect.stringContaining(`0${mode.toString(8)}`),
      hint: expect.stringContaining(`chmod 600 ${open}`),
    });
  });

  test('of another user is refused', async () => {
    const foreign = await fileOf('foreign', await readFile(key));
    await chown(foreign, 12_345, 0);
    await expect(readIdentityFiles([foreign])).rejects.toThrow(unusable(/uid 12345/));
  });

  test('that is missing, not a file, empty, damaged or for something else is refused without its text', async () => {
    const secret = (await readFile(key, 'utf8')).trim().split('\n').at(-1) ?? '';
    // No identity contains a B: it is not among the characters of Bech32.
    const damaged = await fileOf('damaged', `${secret.slice(0, -2)}BB\n`);
    const cases: readonly (readonly [string, RegExp])[] = [
      [directory.file('missing'), /no such file/],
      [directory.path, /not a regular file/],
      [await fileOf('empty', '# nothing\n'), /no identity/],
      [damaged, /line 1/],
      [await fileOf('public', `${recipient}\n`), /line 1/],
      [await fileOf('cut', '-----BEGIN AGE ENCRYPTED FILE-----\nAAAA'), /armor/],
    ];
    for (const [file, message] of cases) {
      await expect(readIdentityFiles([file], { askPassphrase: async () => '' })).rejects.toThrow(unusable(message));
    }
    await expect(readIdentityFiles([damaged])).rejects.not.toThrow(expect.objectContaining({ message: expect.stringContaining('BB') }));
  });
});

describe('a recipients file', () => {
  test('has one in each line, and comments', async () => {
    const file = await fileOf('recipients', `# the vault\r\n${recipient}\r\n\n  # and nobody else\n`, 0o644);
    expect(await readRecipientsFiles([file])).toEqual([recipient]);
    expect(Recipients.of(await readRecipientsFiles([file, file])).texts).toEqual([recipient]);
  });

  test('with anything else is refused, by its line, and an identity in it is not shown', async () => {
    const ssh = await fileOf('ssh', `${recipient}\nssh-ed25519 AAAA\n`);
    await expect(readRecipientsFiles([ssh])).rejects.toMatchObject({
      code: 'RECIPIENT_INVALID',
      message: expect.stringMatching(/line 2.*SSH/),
    });
    await expect(readRecipientsFiles([key])).rejects.toMatchObject({
      code: 'RECIPIENT_INVALID',
      message: expect.not.stringContaining('AGE-SECRET'),
    });
    await expect(readRecipientsFiles([await fileOf('none', '#\n')])).rejects.toMatchObject({ code: 'RECIPIENT_INVALID' });
    await expect(readRecipientsFiles([directory.file('missing')])).rejects.toMatchObject({ code: 'RECIPIENT_INVALID' });
  });
});
