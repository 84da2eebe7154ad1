import { createHash } from 'node:crypto';
import { appendFile, chmod, copyFile, readFile, writeFile } from 'node:fs/promises';
import { makeRandomFile } from '@gantry/testkit';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Recipients } from '@gantry/age';
import process from 'node:process';
import { sealExport, writeIdentity } from './sealed-export.ts';
import { openTmux } from './tmux.ts';
import type { Outcome, Workbench } from './workbench.ts';
import { exportDirectory, jsonLines, MAIN, makeWorkbench } from './workbench.ts';

const NAME = 'web1.example.com';
/** More than one frame of 4 MiB. */
const DISK_BYTES = 5 * 1024 ** 2;

let bench: Workbench;
let target: string;
let exports: readonly [string, string];
let recipient: string;
/** That of the other identity. */
let added: string;

beforeAll(async () => {
  bench = await makeWorkbench();
  // The script says that it was started, and keeps what it got.
  await bench.defineOs('dump', { export: 'cat "$EXPORT_DEVICE"', import: `cat >> "$IMPORT_DEVICE.got"` });
  const source = await bench.describeInstance(NAME, { os: 'dump', disks: [bench.file('0.img'), bench.file('1.img')] });
  for (const disk of [0, 1]) await makeRandomFile(bench.file(`${disk}.img`), DISK_BYTES, `disk ${disk}`);
  target = await bench.describeInstance('web2', { os: 'dump', disks: [bench.file('a.img'), bench.file('b.img')] });
  for (const disk of ['a', 'b']) await writeFile(bench.file(`${disk}.img`), Buffer.alloc(DISK_BYTES));
  recipient = await writeIdentity(KEY());
  added = await writeIdentity(OTHER());
  await writeIdentity(bench.file('third.txt'));
  const to = Recipients.of([recipient]);
  exports = [await sealExport(bench, source, to), await sealExport(bench, source, to)];
});

afterAll(() => bench[Symbol.asyncDispose]());

const importing = (reference: string, ...options: readonly string[]): Promise<Outcome> =>
  bench.gantry('import', bench.store, reference, '--to', target, '--allow-other-os', ...options);

/** What the import scripts got of both disks. */
async function got(): Promise<readonly number[]> {
  return await Promise.all(
    ['a', 'b'].map(async (disk) => {
      const bytes = await readFile(`${bench.file(disk)}.img.got`).catch(() => Buffer.alloc(0));
      await writeFile(`${bench.file(disk)}.img.got`, '');
      return bytes.length;
    }),
  );
}

const KEY = (): string => bench.file('key.txt');
const OTHER = (): string => bench.file('other.txt');

describe('without an identity', () => {
  test('an export is listed, shown as far as it is open, and verified by its digests', async () => {
    const [reference] = exports;
    expect(await bench.gantry('list', bench.store)).toMatchObject({ exitCode: 0, stdout: expect.stringContaining(reference) });
    const shown = await bench.gantry('show', bench.store, reference);
    expect(shown).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(/sealed +to age1.*\n +--identity FILE shows what is sealed/),
    });
    expect(shown.stdout).not.toMatch(/^os /m);
    const verified = await bench.gantry('verify', bench.store, reference);
    expect(verified).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/every digest is correct; it is sealed: .*--identity/) });
  });

  test.each([
    ['import', () => importing(exports[0])],
    ['import of a new instance', () => bench.gantry('import', bench.store, exports[0], '--create-disks')],
    ['show --instance-file', () => bench.gantry('show', bench.store, exports[0], '--instance-file')],
    ['diff', () => bench.gantry('diff', bench.store, ...exports)],
    ['verify of frames', () => bench.gantry('verify', bench.store, exports[0], '--depth', 'frames')],
    ['verify by rehearsal', () => bench.gantry('verify', bench.store, exports[0], '--rehearse', bench.path)],
  ])('%s says that one is needed', async (_what, call) => {
    const { exitCode, stderr } = await call();
    expect({ exitCode, stderr }).toEqual({ exitCode: 7, stderr: expect.stringMatching(/the export is sealed[^]*--identity FILE/) });
    expect(await got()).toEqual([0, 0]);
  });
});

describe('with an identity', () => {
  test('everything is read, also by a setting or a variable', async () => {
    const [first, second] = exports;
    const shown = await bench.gantry('show', bench.store, first, '--identity', KEY());
    expect(shown).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^os +dump$/m) });
    expect(await bench.gantry('verify', bench.store, first, '--identity', KEY())).toMatchObject({ exitCode: 0 });
    expect(await bench.gantry('diff', bench.store, first, second, '--identity', OTHER(), '--identity', KEY())).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining('no difference'),
    });
    expect(await importing(first, '--identity', KEY())).toMatchObject({ exitCode: 0 });
    expect(await got()).toEqual([DISK_BYTES, DISK_BYTES]);
    await writeFile(bench.file('gantry.yaml'), `stores: { here: { url: ./exports, identity: key.txt } }\n`);
    const set = await bench.gantry('--config', bench.file('gantry.yaml'), 'verify', 'here', first, '--json');
    expect(jsonLines(set.stdout).at(-1)).toMatchObject({ depth: 'frames', sealed: 'opened' });
    // What needs no identity does not read it.
    await chmod(KEY(), 0o644);
    try {
      const stored = await bench.gantry('--config', bench.file('gantry.yaml'), 'verify', 'here');
      expect(stored).toMatchObject({ exitCode: 0 });
      expect(await bench.gantry('--config', bench.file('gantry.yaml'), 'verify', 'here', first)).toMatchObject({ exitCode: 2 });
    } finally {
      await chmod(KEY(), 0o600);
    }
  });

  test('verify says that it does not use it where it decrypts nothing', async () => {
    const [reference] = exports;
    const unused = /--identity is not used at the depth (stored|present), and nothing is decrypted/;
    for (const call of [[reference, '--depth', 'stored'], [reference, '--depth', 'present'], [], ['--depth', 'present']])
      expect(await bench.gantry('verify', bench.store, ...call, '--identity', OTHER())).toMatchObject({
        exitCode: 0,
        stderr: expect.stringMatching(unused),
      });
    expect((await bench.gantry('verify', bench.store, reference, '--identity', KEY())).stderr).not.toMatch(unused);
  });

  test('one of others that is configured keeps nobody from what needs none, and is not taken for the proof of an identity', async () => {
    const [reference] = exports;
    await writeFile(bench.file('others.yaml'), 'defaults: { identity: other.txt }\n');
    const configured = (...call: readonly string[]): Promise<Outcome> => bench.gantry('--config', bench.file('others.yaml'), ...call);
    const shown = await configured('show', bench.store, reference);
    const says = /none of the identities opens it; --identity FILE of one of its recipients shows what is sealed/;
    expect(shown).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(says) });
    const verified = await configured('verify', bench.store, reference);
    expect(verified).toMatchObject({ exitCode: 0, stderr: expect.stringMatching(/none of the identities opens it/) });
    expect(await bench.gantry('verify', bench.store, reference, '--identity', OTHER())).toMatchObject({ exitCode: 7 });
    expect(await configured('import', bench.store, reference, '--to', target, '--yes')).toMatchObject({ exitCode: 7 });
    expect(await got()).toEqual([0, 0]);
  });

  test('one that opens none of a store is not a success where frames are to be read, or a policy verifies them', async () => {
    const verify = ['verify', bench.store, '--depth', 'frames'];
    const none = await bench.gantry(...verify, '--identity', OTHER());
    expect(none).toMatchObject({
      exitCode: 7,
      stdout: expect.stringMatching(/: every digest is correct; 2 sealed exports not opened\nnone of the identities opens any/),
    });
    const rehearsed = await bench.gantry('verify', bench.store, '--rehearse', bench.path, '--identity', OTHER());
    expect(rehearsed).toMatchObject({
      exitCode: 7,
      stdout: expect.stringMatching(/^0 exports verified .*: 2 sealed exports not opened$/m),
    });
    expect(await bench.gantry(...verify)).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/2 sealed exports not opened$/) });
    const all = await bench.gantry(...verify, '--identity', KEY());
    expect(all).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/: every frame and digest is correct$/) });
    // One is of others, but some are not.
    const other = await sealExport(bench, bench.file(`${NAME}.yaml`), Recipients.of([added]));
    const some = await bench.gantry(...verify, '--identity', OTHER());
    const says = /: every digest is correct, and every frame of 1 export; 2 sealed exports not opened$/;
    expect(some).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(says) });
    expect(await bench.gantry('remove', bench.store, other)).toMatchObject({ exitCode: 0 });

    const policy = `{ instances: ${NAME}.yaml, stores: ${bench.file('nightly')}, recipients: [${recipient}], verify: { depth: frames } }`;
    await writeFile(bench.file('nightly.yaml'), `defaults: { identity: other.txt }\npolicies: { nightly: ${policy} }\n`);
    const run = await bench.gantry('--config', bench.file('nightly.yaml'), 'run', 'nightly', '--create-store');
    expect(run.stdout + run.stderr).toMatch(/none of the identities opens any of the sealed exports/);
    expect(run.exitCode).toBe(16);
  });

  test.each([
    ['belongs to nobody', () => ['--identity', OTHER()], 7, 'IDENTITY_MISMATCH'],
    ['belongs to nobody, as no other does', () => ['--identity', OTHER(), '--identity', bench.file('third.txt')], 7, 'IDENTITY_MISMATCH'],
    ['is missing', () => ['--identity', bench.file('none.txt')], 2, 'IDENTITY_UNUSABLE'],
    ['has no identity in it', () => ['--identity', bench.file('web2.yaml')], 2, 'IDENTITY_UNUSABLE'],
    ['is a passphrase, and there is no terminal', () => ['--passphrase'], 2, 'USAGE'],
  ])('one that %s is refused', async (_what, options, exitCode, code) => {
    await chmod(bench.file('web2.yaml'), 0o600);
    const refused = await importing(exports[0], '--json', ...options());
    expect(refused.exitCode).toBe(exitCode);
    expect(refused.stdout + refused.stderr).toContain(`"${code}"`);
    expect(await got()).toEqual([0, 0]);
  });

  test('one that others can read is refused', async () => {
    await copyFile(KEY(), bench.file('open.txt'));
    await chmod(bench.file('open.txt'), 0o640);
    const { exitCode, stderr } = await importing(exports[0], '--identity', bench.file('open.txt'));
    expect({ exitCode, stderr }).toEqual({ exitCode: 2, stderr: expect.stringMatching(/open to others: its mode is 0640[^]*chmod 600/) });
    expect(await got()).toEqual([0, 0]);
  });
});

/** Changes files of an export; the manifest and SHA256SUMS say what the files are then, as somebody who can write to the store may. */
async function forge(reference: string, files: Readonly<Record<string, Buffer>>): Promise<AsyncDisposable> {
  const directory = exportDirectory(bench, reference);
  const names = [...Object.keys(files), 'manifest.json', 'SHA256SUMS'];
  const before = new Map(await Promise.all(names.map(async (name) => [name, await readFile(`${directory}/${name}`)] as const)));
  let manifest = String(before.get('manifest.json'));
  let sums = String(before.get('SHA256SUMS'));
  // By way of marks: two files may change places.
  const digests = [...before].flatMap(([name, old]) => (files[name] === undefined ? [] : [{ old, now: files[name] }]));
  for (const [index, { old }] of digests.entries()) {
    const [from, mark] = [sha256(old), `<${index}>`];
    manifest = manifest.replaceAll(from, mark);
    sums = sums.replaceAll(from, mark);
    expect(manifest).toContain(mark);
  }
  for (const [index, { old, now }] of digests.entries()) {
    manifest = manifest.replaceAll(new RegExp(`(\\d+)(,\\s*"sha256": )"<${index}>"`, 'g'), (_all, size: string, middle: string) => {
      expect(Number(size)).toBe(old.length);
      return `${now.length}${middle}"${sha256(now)}"`;
    });
    manifest = manifest.replaceAll(`<${index}>`, sha256(now));
    sums = sums.replaceAll(`<${index}>`, sha256(now));
  }
  await writeFile(`${directory}/manifest.json`, manifest);
  await writeFile(`${directory}/SHA256SUMS`, sums);
  for (const [name, bytes] of Object.entries(files)) await writeFile(`${directory}/${name}`, bytes);
  return {
    [Symbol.asyncDispose]: async () => {
      for (const [name, bytes] of before) await writeFile(`${directory}/${name}`, bytes);
    },
  };
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Of a block with its tag. */
const BLOCK = 65_536 + 16;

/** Where the blocks of a file of age begin: after its header, the MAC of that, and the nonce. */
function firstBlock(file: Buffer): number {
  return file.indexOf('\n', file.indexOf('\n--- ') + 1) + 1 + 16;
}

/** The first block changes places with one after it. */
function swapBlocks(file: Buffer, other: number): Buffer {
  const start = firstBlock(file);
  const swapped = Buffer.from(file);
  file.copy(swapped, start, start + other * BLOCK, start + (other + 1) * BLOCK);
  file.copy(swapped, start + other * BLOCK, start, start + BLOCK);
  return swapped;
}

/** The last block, which is marked as such, comes before all others. */
function lastBlockFirst(file: Buffer): Buffer {
  const start = firstBlock(file);
  const last = start + Math.floor((file.length - start) / BLOCK) * BLOCK;
  return Buffer.concat([file.subarray(0, start), file.subarray(last), file.subarray(start, last)]);
}

/** A file for recipients that nobody here has, with a header of the form of all others. */
function withStanzas(argument: string, count: number): Buffer {
  const stanzas = `${argument}${'A'.repeat(43)}\n`.repeat(count);
  return Buffer.concat([Buffer.from(`age-encryption.org/v1\n${stanzas}--- ${'A'.repeat(43)}\n`), Buffer.alloc(300_000, 'x')]);
}

const stored = (reference: string, name: string): Promise<Buffer> => readFile(`${exportDirectory(bench, reference)}/${name}`);

describe('what somebody who can write to the store puts there', () => {
  test.each([
    ['the encrypted manifest of another export', async () => ({ 'sealed.json.age': await stored(exports[1], 'sealed.json.age') })],
    ['a frame map of another export', async () => ({ 'disk0.map.age': await stored(exports[1], 'disk0.map.age') })],
    [
      'frame maps that changed places',
      async () => ({
        'disk0.map.age': await stored(exports[0], 'disk1.map.age'),
        'disk1.map.age': await stored(exports[0], 'disk0.map.age'),
      }),
    ],
    [
      'packs that changed places',
      async () => ({
        'disk0.zst.age': await stored(exports[0], 'disk1.zst.age'),
        'disk1.zst.age': await stored(exports[0], 'disk0.zst.age'),
      }),
    ],
    ['a pack of another export', async () => ({ 'disk0.zst.age': await stored(exports[1], 'disk0.zst.age') })],
    ['a pack that is not encrypted', async () => ({ 'disk0.zst.age': Buffer.alloc(300_000, 'x') })],
    [
      'a pack of which two blocks changed places',
      async () => ({ 'disk0.zst.age': swapBlocks(await stored(exports[0], 'disk0.zst.age'), 1) }),
    ],
    ['a pack whose last block is the first', async () => ({ 'disk0.zst.age': lastBlockFirst(await stored(exports[0], 'disk0.zst.age')) })],
    ['a pack for a recipient of an unknown type', async () => ({ 'disk0.zst.age': withStanzas('-> unknown-type AAAA\n', 1) })],
    ['a pack for thousands of recipients', async () => ({ 'disk0.zst.age': withStanzas(`-> X25519 ${'A'.repeat(43)}\n`, 5000) })],
  ])('%s is refused before a byte of that disk reaches a script', async (_what, files) => {
    await using _forged = await forge(exports[0], await files());
    const { exitCode, stderr } = await importing(exports[0], '--identity', KEY(), '--disk', '0');
    expect({ exitCode, stderr }).toEqual({ exitCode: 7, stderr: expect.any(String) });
    expect(await got()).toEqual([0, 0]);
    expect(await bench.gantry('verify', bench.store, exports[0], '--identity', KEY())).toMatchObject({ exitCode: 7 });
  });

  test('a whole export under the id of another one is refused', async () => {
    const one = exportDirectory(bench, exports[0]);
    const two = exportDirectory(bench, exports[1]);
    const before = await readFile(`${one}/manifest.json`);
    await copyFile(`${two}/manifest.json`, `${one}/manifest.json`);
    try {
      expect(await importing(exports[0], '--identity', KEY())).toMatchObject({ exitCode: 7 });
      expect(await got()).toEqual([0, 0]);
    } finally {
      await writeFile(`${one}/manifest.json`, before);
    }
  });
});

describe('damage', () => {
  const FLIPS = { 'in the header': 60, 'in the first block': 1000, 'in the last block': -5 } as const;
  const NAMES = ['sealed.json.age', 'disk0.map.age', 'disk0.zst.age'] as const;

  test.each(NAMES.flatMap((name) => Object.entries(FLIPS).map(([where, at]) => [name, where, at] as const)))(
    'of %s %s never reaches a script',
    async (name, where, at) => {
      const file = `${exportDirectory(bench, exports[0])}/${name}`;
      const before = await readFile(file);
      const now = Buffer.from(before);
      const place = at < 0 ? before.length + at : Math.min(at, before.length - 20);
      now[place] = (now[place] ?? 0) ^ 1;
      await writeFile(file, now);
      try {
        const { exitCode, stderr } = await importing(exports[0], '--identity', KEY(), '--disk', '0');
        expect(exitCode).toBe(7);
        const [bytes = 0, others] = await got();
        // The first frame comes before the damage of the last block: the script may have it, as far as it has come when that is found.
        const mayBePart = name === 'disk0.zst.age' && where === 'in the last block';
        expect(bytes).toBeLessThanOrEqual(mayBePart ? 4 * 1024 ** 2 : 0);
        expect(others).toBe(0);
        if (bytes > 0) expect(stderr).toMatch(/written in part/);
        const checked = await importing(exports[0], '--identity', KEY(), '--disk', '0', '--check-first');
        expect(checked.exitCode).toBe(7);
        expect(await got()).toEqual([0, 0]);
      } finally {
        await writeFile(file, before);
      }
    },
  );

  test('of a frame map takes the disk from an import, but not from age', async () => {
    const directory = exportDirectory(bench, exports[0]);
    const file = `${directory}/disk0.map.age`;
    const before = await readFile(file);
    const now = Buffer.from(before);
    now[now.length - 5] = (now.at(-5) ?? 0) ^ 1;
    await writeFile(file, now);
    try {
      expect(await importing(exports[0], '--identity', KEY(), '--disk', '0')).toMatchObject({ exitCode: 7 });
      expect(await got()).toEqual([0, 0]);
      const script = 'age -d -i "$1" "$2" | zstd -d | cmp - "$3"';
      await execa('sh', ['-c', script, 'sh', KEY(), `${directory}/disk0.zst.age`, bench.file('0.img')]);
    } finally {
      await writeFile(file, before);
    }
  });

  test('of what is cut off, or longer, is found', async () => {
    for (const name of NAMES) {
      const file = `${exportDirectory(bench, exports[0])}/${name}`;
      const before = await readFile(file);
      for (const change of [(): Promise<void> => writeFile(file, before.subarray(0, -1)), (): Promise<void> => appendFile(file, 'x')]) {
        await change();
        try {
          expect(await importing(exports[0], '--identity', KEY()), name).toMatchObject({ exitCode: 7 });
          expect(await got(), name).toEqual([0, 0]);
        } finally {
          await writeFile(file, before);
        }
      }
    }
  });
});

test('others can be let in by those who have an identity, and a check says who can read what', async () => {
  const [first, second] = exports;
  const check = (...options: readonly string[]): Promise<Outcome> => bench.gantry('keys', 'check', bench.store, ...options);
  expect(await check()).toMatchObject({ exitCode: 0, stdout: expect.stringContaining(recipient) });
  expect(await check('--identity', KEY())).toMatchObject({
    exitCode: 0,
    stdout: expect.stringMatching(new RegExp(`${first} +to 1 +- +yes`)),
  });
  expect(await check('--identity', OTHER())).toMatchObject({
    exitCode: 7,
    stdout: expect.stringContaining('disk0.map.age is encrypted to others'),
  });
  const add = ['keys', 'add', bench.store, second, '--recipient', added];
  expect(await bench.gantry(...add)).toMatchObject({ exitCode: 7, stderr: expect.stringContaining('--identity FILE') });
  expect(await bench.gantry(...add, '--identity', OTHER())).toMatchObject({ exitCode: 7 });
  expect(await bench.gantry(...add, '--identity', KEY())).toMatchObject({ exitCode: 0, stdout: `${second}: keys-1.age has its key` });
  expect(await check(second, '--identity', OTHER())).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/to 1 +1 +yes/) });
  expect(await bench.gantry('show', bench.store, second)).toMatchObject({
    stdout: expect.stringContaining('to those who can read keys-1.age'),
  });
  expect(await importing(second, '--identity', OTHER())).toMatchObject({ exitCode: 0 });
  expect(await got()).toEqual([DISK_BYTES, DISK_BYTES]);
  expect(await importing(first, '--identity', OTHER())).toMatchObject({ exitCode: 7 });
  expect(await bench.gantry('keys', 'add', bench.store, second, '--recipient', 'age1none', '--identity', KEY())).toMatchObject({
    exitCode: 2,
  });
  expect(await bench.gantry('keys', 'add', bench.store, second)).toMatchObject({ exitCode: 2 });
});

test('an export that is encrypted with a passphrase is opened on a terminal, which does not show it', async () => {
  const reference = await sealExport(bench, bench.file(`${NAME}.yaml`), Recipients.passphrase('correct horse'));
  await using terminal = openTmux(bench.file('tmux'));
  const verify = `'${process.execPath}' '${MAIN}' verify '${bench.store}' ${reference} --passphrase`;
  const script = `cd '${bench.path}'; export GANTRY_STATE_DIR='${bench.file('state')}'; ${verify}; echo "status $?"; exec sleep 1000\n`;
  await writeFile(bench.file('run'), script);
  for (const [passphrase, shows] of [
    ['correct horse', /every frame and digest is correct[^]*status 0/],
    ['wrong horse', /none of the identities[^]*status 7/],
  ] as const) {
    await terminal.run('new-session', '-d', '-s', 'asking', '-x', '200', '-y', '24', `sh '${bench.file('run')}'`);
    await terminal.screen(/Passphrase of the sealed exports:/);
    await terminal.run('send-keys', '-l', passphrase);
    await terminal.run('send-keys', 'Enter');
    const screen = (await terminal.screen(/status \d/)).join('\n');
    expect(screen).toMatch(shows);
    expect(screen).not.toContain('horse');
    await terminal.run('kill-session', '-t', 'asking');
  }
});
