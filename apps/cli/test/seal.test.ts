import { randomBytes } from 'node:crypto';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import process from 'node:process';
import { generateX25519Identity, Identities } from '@gantry/age';
import { createBucket, makeRandomFile, oneIn, PATIENTLY, s3Request, sha256File, startCeph, startSshServer } from '@gantry/testkit';
import { describe, expect, test } from 'vitest';
import { ok } from './three-disks.ts';
import { openTmux } from './tmux.ts';
import type { Outcome, Workbench } from './workbench.ts';
import { MAIN, makeWorkbench, waitForFile } from './workbench.ts';

/*
 * Exports that are sealed by the command: the host that makes them has only the file of recipients.
 */

const NAME = 'web1.example.com';
const FRAME_BYTES = 4 * 1024 ** 2;
const FRAMES = 3;

interface SealBench extends Workbench {
  readonly source: string;
  /** Two of them, as age-keygen would print them. */
  readonly recipients: readonly string[];
  readonly recipientsFile: string;
  /** Of one of them: only restores have it. */
  readonly identity: string;
  /** Changes one frame of the disk. */
  readonly change: () => Promise<void>;
  /** Imports with the identity, and compares. */
  readonly expectSame: (store: string, reference: string) => Promise<void>;
}

async function makeBench(env: Readonly<Record<string, string>> = {}): Promise<SealBench> {
  const bench = await makeWorkbench(env);
  const disk = bench.file('disk.img');
  await makeRandomFile(disk, FRAMES * FRAME_BYTES, 'seal');
  const source = await bench.describeInstance(NAME, { disks: ['disk.img'] });
  const identities = [await generateX25519Identity(), await generateX25519Identity()];
  const recipients = await Identities.parse(identities.join('\n')).recipients();
  const [recipientsFile, identity] = [bench.file('recipients.txt'), bench.file('key.txt')];
  await writeFile(recipientsFile, `# ann\n${recipients[0]}\n\n# bob\n${recipients[1]}\n`);
  await writeFile(identity, `${identities[1]}\n`, { mode: 0o600 });
  let changes = 0;
  return {
    ...bench,
    source,
    recipients,
    recipientsFile,
    identity,
    async change() {
      const bytes = await readFile(disk);
      randomBytes(FRAME_BYTES).copy(bytes, (changes % FRAMES) * FRAME_BYTES);
      changes += 1;
      await writeFile(disk, bytes);
    },
    async expectSame(store, reference) {
      await writeFile(bench.file('copy.img'), Buffer.alloc(FRAMES * FRAME_BYTES));
      const target = await bench.describeInstance('web2', { disks: ['copy.img'] });
      await ok(bench.gantry('import', store, reference, '--to', target, '--identity', identity));
      expect(await sha256File(bench.file('copy.img'))).toBe(await sha256File(disk));
    },
    [Symbol.asyncDispose]: () => bench[Symbol.asyncDispose](),
  };
}

interface Exported {
  readonly reference: string;
  readonly incremental?: { readonly known: { readonly frames: number } };
  readonly dumps: readonly { readonly name: string }[];
  readonly warnings: readonly string[];
}

function resultOf({ exitCode, stdout, stderr }: Outcome): Exported {
  expect(exitCode, `${stdout}${stderr}`).toBe(0);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a test of the command's own output
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Exported;
}

describe('recipients', () => {
  test('come from options, files, variables and gantry.yaml, the strongest of which counts for both', async () => {
    await using bench = await makeBench();
    const { gantry, source, recipients, recipientsFile } = bench;
    const [ann = '', bob = ''] = recipients;
    const config = bench.file('gantry.yaml');
    await writeFile(
      config,
      `stores: { sealed: { url: ${bench.store}, recipients-files: [recipients.txt] } }
policies: { open: { instances: ${source}, stores: sealed, recipients: [] }, ann: { instances: ${source}, stores: sealed, recipients: [${ann}] } }`,
    );
    await ok(gantry('store', 'init', bench.store));
    const readersOf = async (...args: readonly string[]): Promise<unknown> => {
      const { reference } = resultOf(await gantry('export', source, 'sealed', '--config', config, '--json', ...args));
      const manifest: unknown = JSON.parse(await readFile(`${bench.store}/${reference.replace('@', '/')}/manifest.json`, 'utf8'));
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by the export under test
      return (manifest as { readonly sealed?: { readonly recipients: readonly string[] } }).sealed?.recipients;
    };
    expect(await readersOf()).toEqual([ann, bob]);
    expect(await readersOf('--recipient', bob)).toEqual([bob]);
    expect(await readersOf('--recipient', bob, '--recipients-file', recipientsFile)).toEqual([bob, ann]);
    expect(await readersOf('--policy', 'ann')).toEqual([ann]);
    expect(await readersOf('--policy', 'open')).toBeUndefined();

    const shown = (await gantry('config', 'show', 'sealed', '--policy', 'ann', '--config', config)).stdout;
    expect(shown).toMatch(new RegExp(`recipients +${ann} +policies\\.ann\\.recipients`));
    expect(shown).toMatch(/recipients-files +none +built in/);
    expect((await gantry('config', 'check', '--config', config)).stdout).toMatch(
      /ok +stores\.sealed\.recipients-files\[0\] +recipients: 2/,
    );

    const planned = await gantry('export', source, 'sealed', '--config', config, '--dry-run');
    expect(planned.stdout).toContain(`sealed for ${ann}, ${bob}`);
    expect(planned.stdout).toContain('disk0.zst.age');
  });

  test('that are none are refused before anything is written, and a secret among them is not shown', async () => {
    await using bench = await makeBench();
    const { gantry, source, recipients } = bench;
    const secret = (await readFile(bench.identity, 'utf8')).trim();
    const thousands = bench.file('thousands.txt');
    await writeFile(thousands, Array.from({ length: 3000 }, (_, index) => `# ${index}\n${recipients[0]}`).join('\n'));
    await writeFile(bench.file('wrong.txt'), `${recipients[0]}\nage1wrong\n`);
    await writeFile(bench.file('secret.txt'), `${secret}\n`);
    for (const [args, message] of [
      [['--recipient', 'age1wrong'], /"age1wrong" is not a valid recipient of age/],
      [['--recipient', secret], /an identity, which is secret, was given instead of its recipient/],
      [['--recipients-file', bench.file('wrong.txt')], /wrong\.txt: line 2 is not a valid recipient/],
      [['--recipients-file', bench.file('secret.txt')], /an identity, which is secret/],
      [['--recipients-file', bench.file('missing.txt')], /missing\.txt/],
      [['--recipients-file', bench.source], /is not a valid recipient/],
    ] as const) {
      const { exitCode, stdout, stderr } = await gantry('export', source, bench.store, ...args);
      expect([exitCode, stderr]).toEqual([2, expect.stringMatching(message)]);
      expect(`${stdout}${stderr}`).not.toContain(secret.slice(20));
    }
    expect(await readdir(bench.store).catch(() => [])).toEqual([]);
    // The same one thousands of times is one.
    expect((await gantry('export', source, bench.store, '--recipients-file', thousands)).exitCode).toBe(0);

    await writeFile(bench.file('gantry.yaml'), `stores: { a: { url: ${bench.store}, recipients: [${secret}] } }`);
    const checked = await gantry('config', 'check', '--config', bench.file('gantry.yaml'));
    expect(checked).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('must be a recipient of age') });
    expect(`${checked.stdout}${checked.stderr}`).not.toContain(secret.slice(20));
  });

  test('must be the same for all stores of an export; with a single one, there is a warning', async () => {
    await using bench = await makeBench();
    const { gantry, source, recipients } = bench;
    const config = bench.file('gantry.yaml');
    const [open, sealed] = [bench.file('open'), bench.file('sealed')];
    await writeFile(config, `stores: { open: { url: ${open} }, sealed: { url: ${sealed}, recipients: [${recipients[0]}] } }`);
    for (const stores of [
      ['open', 'sealed'],
      ['sealed', 'open'],
    ]) {
      const refused = await gantry('export', source, ...stores, '--config', config);
      expect(refused).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('one export cannot be for both') });
    }
    const single = resultOf(await gantry('export', source, 'sealed', '--config', config, '--json'));
    expect(single.warnings).toEqual([expect.stringContaining('the export has a single recipient')]);
  });

  test('of a policy seal what gantry run exports, and its lineages go on without an identity', async () => {
    await using bench = await makeBench();
    const { gantry, source, recipientsFile } = bench;
    const config = bench.file('gantry.yaml');
    await writeFile(
      config,
      `stores: { a: { url: ${bench.file('a')} }, b: { url: ${bench.file('b')} } }
policies: { web: { instances: ${source}, stores: [a, b], incremental: true, recipients-files: [${recipientsFile}] } }`,
    );
    const run = async (): Promise<string> => {
      const { exitCode, stderr } = await gantry('run', 'web', '--again', '--config', config);
      expect(exitCode, stderr).toBe(0);
      const ids = (await readdir(`${bench.file('a')}/${NAME}`)).toSorted();
      return ids.at(-1) ?? '';
    };
    await run();
    await bench.change();
    const id = await run();
    const manifests = await Promise.all(['a', 'b'].map((store) => readFile(`${bench.file(store)}/${NAME}/${id}/manifest.json`, 'utf8')));
    expect(manifests[0]).toBe(manifests[1]);
    expect(JSON.parse(manifests[0] ?? '')).toMatchObject({ version: 4, sinceFull: 1, dumps: [{ frames: 1, name: 'disk0.pack.zst.age' }] });
    await bench.expectSame(bench.file('b'), `${NAME}@${id}`);
  });
});

describe('a passphrase', () => {
  test('is asked for twice, on the terminal alone', async () => {
    await using bench = await makeBench();
    await using terminal = openTmux(bench.file('tmux'));
    await ok(bench.gantry('store', 'init', bench.store));
    const command = [process.execPath, MAIN, 'export', bench.source, bench.store, '--passphrase', '--quiet']
      .map((word) => `'${word}'`)
      .join(' ');
    const state = `GANTRY_STATE_DIR='${bench.file('state')}'`;
    const enter = async (first: string, second: string): Promise<string> => {
      await rm(bench.file('status'), { force: true });
      await writeFile(bench.file('run'), `${state} ${command} </dev/null; echo $? >status.tmp; mv status.tmp status; exec sleep 1000\n`);
      await terminal.run('new-session', '-d', '-x', '120', '-c', bench.path, `sh '${bench.file('run')}'`);
      await terminal.screen(/Passphrase of the new export:/);
      await terminal.run('send-keys', '-l', '--', first);
      await terminal.run('send-keys', 'Enter');
      await terminal.screen(/The same passphrase again:/);
      await terminal.run('send-keys', '-l', '--', second);
      await terminal.run('send-keys', 'Enter');
      const status = await waitForFile(bench.file('status'));
      const screen = (await terminal.screen(/./)).join('\n');
      await terminal.run('kill-session');
      expect(screen).not.toContain('horse');
      return `${status.trim()} ${screen}`;
    };
    expect(await enter('battery horse', 'battery hoarse')).toMatch(/^2 [^]*the two passphrases differ/);
    expect(await enter('battery horse', 'battery horse')).toMatch(new RegExp(`^0 [^]*${NAME}@`));
    const [id = ''] = await readdir(`${bench.store}/${NAME}`);
    const manifest: unknown = JSON.parse(await readFile(`${bench.store}/${NAME}/${id}/manifest.json`, 'utf8'));
    expect(manifest).toMatchObject({ version: 4, sealed: { recipients: [] } });
  });

  test('is refused where nobody can be asked, and beside recipients', async () => {
    await using bench = await makeBench();
    const { gantry, source, store } = bench;
    const beside = await gantry('export', source, store, '--passphrase', '--recipients-file', bench.recipientsFile);
    expect(beside).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('--passphrase does not go with --recipients-file') });
    const incremental = await gantry('export', source, store, '--passphrase', '--incremental');
    expect(incremental).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('--passphrase does not go with --incremental') });
  });
});

interface AnyStore extends AsyncDisposable {
  readonly bench: SealBench;
  readonly store: string;
}

async function overSsh(): Promise<AnyStore> {
  await using scope = new AsyncDisposableStack();
  const server = scope.use(await startSshServer());
  const bench = scope.use(await makeBench());
  const store = server.address(bench.file('peer'));
  await ok(bench.gantry('store', 'init', store));
  const held = scope.move();
  return { bench, store, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

/** With the credentials of a user who can add and look, but neither remove nor change anything. */
async function inBucket(): Promise<AnyStore> {
  await using scope = new AsyncDisposableStack();
  const ceph = scope.use(await startCeph());
  const bucket = `bucket-${randomBytes(6).toString('hex')}`;
  await createBucket(ceph, bucket);
  const { accessKeyId, secretAccessKey } = await ceph.createUser('adder');
  const Principal = { AWS: ['arn:aws:iam:::user/adder'] };
  const statements = [
    {
      Effect: 'Allow',
      Principal,
      Action: ['s3:PutObject', 's3:AbortMultipartUpload', 's3:GetObject'],
      Resource: [`arn:aws:s3:::${bucket}/*`],
    },
    { Effect: 'Allow', Principal, Action: ['s3:ListBucket', 's3:ListBucketMultipartUploads'], Resource: [`arn:aws:s3:::${bucket}`] },
  ];
  const body = JSON.stringify({ Version: '2012-10-17', Statement: statements });
  expect((await s3Request(ceph, `/${bucket}?policy=`, { method: 'PUT', body })).status).toBe(204);
  const bench = scope.use(await makeBench({ AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey }));
  const held = scope.move();
  const store = `s3://${bucket}/exports?${new URLSearchParams({ endpoint: ceph.endpoint, conditionalWrites: 'full' }).toString()}`;
  return { bench, store, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

test.each(
  oneIn(2, [
    ['in a bucket, with credentials that can only add', inBucket],
    ['over SSH', overSsh],
  ] as const),
)('sealed incremental exports %s go on without an identity', PATIENTLY, async (_where, open) => {
  await using place = await open();
  const { bench, store } = place;
  const next = async (): Promise<Exported> =>
    resultOf(await bench.gantry('export', bench.source, store, '--incremental', '--recipients-file', bench.recipientsFile, '--json'));
  expect((await next()).incremental?.known.frames).toBe(0);
  for (let round = 0; round < 2; round += 1) {
    await bench.change();
    const { reference, incremental, warnings } = await next();
    expect(incremental?.known.frames).toBe(FRAMES - 1);
    expect(warnings.filter((warning) => /frame map|everything/.test(warning))).toEqual([]);
    await bench.expectSame(store, reference);
  }
  await rm(bench.file('state', 'sealed'), { recursive: true });
  const lost = await next();
  expect(lost.incremental?.known.frames).toBe(0);
  expect(lost.warnings).toContainEqual(expect.stringContaining('has not kept them in its state directory'));
});
