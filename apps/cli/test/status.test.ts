import { cp, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { makeRandomFile, OWN_MOUNTS } from '@gantry/testkit';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { goodRun, recordRun } from './policy-runs.ts';
import type { Workbench } from './workbench.ts';
import { exportDirectory, jsonLines, lastLine, MAIN, makeWorkbench } from './workbench.ts';

const DAY_MS = 24 * 3_600_000;

let bench: Workbench;
let reference: string;
let config: string;

const CONFIG = (more: string): string => `
stores: { nightly: { url: exports }, shelf: { url: gone } }
policies:
${more}`;

beforeAll(async () => {
  bench = await makeWorkbench();
  config = bench.file('gantry.yaml');
  await mkdir(bench.file('instances'));
  for (const name of ['web1', 'web2']) {
    await makeRandomFile(bench.file(`${name}.img`), 4096, name);
    const file = await bench.describeInstance(name, { disks: [bench.file(`${name}.img`)] });
    reference = lastLine((await bench.gantry('export', file, bench.store)).stdout);
    await rename(file, bench.file('instances', `${name}.yaml`));
  }
});

afterAll(() => bench[Symbol.asyncDispose]());

/** Runs `gantry status` with this configuration. */
async function status(policies: string, ...args: readonly string[]): ReturnType<Workbench['gantry']> {
  await writeFile(config, CONFIG(policies));
  return await bench.gantry('status', '--config', config, ...args);
}

/** An export of web1 of another age: a copy whose manifest says so. */
async function exportOfAge(days: number): Promise<string> {
  const started = new Date(Date.now() - days * DAY_MS);
  const id = `${started.toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z`;
  const from = exportDirectory(bench, reference);
  const to = join(from, '..', id);
  await cp(from, to, { recursive: true });
  const manifest: unknown = JSON.parse(await readFile(join(to, 'manifest.json'), 'utf8'));
  await writeFile(join(to, 'manifest.json'), JSON.stringify({ ...Object(manifest), exportId: id, started: started.toISOString() }));
  return `web2@${id}`;
}

const ALL = '  all: { instances: ./instances, stores: nightly, max-age: 26h }\n';

describe('what stores have', () => {
  test('is shown of each instance of each policy, with 0 if it is as promised', async () => {
    const { exitCode, stdout } = await status(ALL);
    expect(stdout).toMatch(/^all +web1 +nightly +good +0 min +26 h +4\.00 KiB +\S+ \S+ +never$/m);
    expect(stdout).toMatch(/\n\nall: it has not run on this machine, /);
    expect(exitCode).toBe(0);
  });

  test('is shown also where the records of runs cannot be listed, and then the last run is unknown', async () => {
    await mkdir(bench.file('broken'));
    await writeFile(bench.file('broken', 'policies'), '');
    const { exitCode, stdout, stderr } = await status(ALL, '--state-dir', bench.file('broken'));
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: expect.stringContaining('the records of runs') });
    expect(stdout).toMatch(/\n\nall: its last run is unknown, /);
  });

  test('is asked of the store: the record of a run does not count', async () => {
    await recordRun(bench.file('state'), goodRun({ policy: 'all', started: new Date(Date.now() - 2 * DAY_MS).toISOString() }));
    const { stdout } = await status(ALL);
    expect(stdout).toMatch(/^all +web1 +nightly +good +0 min/m);
    expect(stdout).toContain('all: last run 2 d ago (done), ');
  });

  test('that is late or missing gives 17', async () => {
    const nothing = '  all: { instances: ./missing.yaml, stores: nightly }\n';
    await writeFile(bench.file('missing.yaml'), 'name: db1\nos: raw\nhypervisor: kvm\ndisks: []\n');
    expect(await status(nothing)).toMatchObject({ exitCode: 17, stdout: expect.stringMatching(/db1 +nightly +missing +- /) });
    const { exitCode, stdout } = await status('  all: { instances: ./instances, stores: nightly, max-age: 1s }\n');
    expect(exitCode).toBe(17);
    expect(stdout).toMatch(/web1 +nightly +late /);
  });

  test('does not count exports that are damaged, or whose time cannot be true', async () => {
    const scratch = await makeWorkbench();
    await using _ = scratch;
    await cp(bench.store, scratch.store, { recursive: true });
    const place = (id: string): string => join(scratch.store, 'web2', id);
    const [, id = ''] = reference.split('@');
    const old = (await exportOfAge(3)).split('@')[1] ?? '';
    await rename(join(bench.store, 'web2', old), place(old));
    const future = (await exportOfAge(-300)).split('@')[1] ?? '';
    await rename(join(bench.store, 'web2', future), place(future));
    await writeFile(join(place(id), 'disk0.zst'), 'x');
    await writeFile(config, `policies: { all: { instances: ./instances/web2.yaml, stores: ${scratch.store}, max-age: 26h } }`);
    const { exitCode, stdout } = await bench.gantry('status', '--config', config);
    expect(stdout).toMatch(/web2 +\S+ +late +3 d /);
    expect(stdout).toContain(`${reference} in ${scratch.store} is damaged`);
    expect(exitCode).toBe(17);
    expect((await bench.gantry('status', '--config', config, '--check')).stdout).toMatch(
      /^GANTRY CRITICAL - web2 in .* is 3 d old \(at most 26 h\), /,
    );
  });

  test('does not count one whose signature is refused, and says so', async () => {
    await using scratch = await makeWorkbench();
    await makeRandomFile(scratch.file('disk0'), 4096, 'disk0');
    const instance = await scratch.describeInstance('db1', { disks: [scratch.file('disk0')] });
    await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', scratch.file('key')]);
    await writeFile(scratch.file('allowed'), `node1 ${await readFile(scratch.file('key.pub'), 'utf8')}`);
    const signed = lastLine((await scratch.gantry('export', instance, scratch.store, '--sign', scratch.file('key'))).stdout);
    const unsigned = lastLine((await scratch.gantry('export', instance, scratch.store)).stdout);
    const policy = (more: string): string => `{ instances: ${instance}, stores: ${scratch.store}, max-age: 26h, ${more} }`;
    const strict = policy(`allowed-signers: ${scratch.file('allowed')}, require-signature: true`);
    const lost = policy(`allowed-signers: ${scratch.file('gone')}, require-signature: true`);
    await writeFile(config, `policies:\n  open: ${policy('parallel: 1')}\n  strict: ${strict}\n  lost: ${lost}\n`);
    const { stdout } = await bench.gantry('status', '--config', config, '--json');
    const found = jsonLines(stdout).at(-1);
    expect(found).toMatchObject({
      policies: [
        { policy: 'open', instances: [{ state: 'good', good: { reference: unsigned }, refused: [] }] },
        {
          policy: 'strict',
          instances: [{ state: 'good', good: { reference: signed }, refused: [{ reference: unsigned, code: 'SIGNATURE_MISSING' }] }],
        },
        { policy: 'lost', instances: [{ state: 'unknown', reason: expect.stringContaining('cannot read the allowed-signers file') }] },
      ],
    });
    expect((await bench.gantry('status', '--config', config, 'strict')).stdout).toContain(`${unsigned} in ${scratch.store} is refused: `);
    const checked = await bench.gantry('status', '--config', config, 'strict', '--check');
    expect(checked).toMatchObject({ exitCode: 1, stdout: expect.stringMatching(/^GANTRY WARNING - \S+ in \S+ is refused \|/) });
    expect(await bench.gantry('remove', scratch.store, signed)).toMatchObject({ exitCode: 0 });
    const none = await bench.gantry('status', '--config', config, 'strict');
    expect(none).toMatchObject({ exitCode: 17, stdout: expect.stringMatching(/db1 +\S+ +missing /) });
  });

  test('does not count an export of some disks', async () => {
    await using scratch = await makeWorkbench();
    await Promise.all(['disk0', 'disk1'].map((name) => makeRandomFile(scratch.file(name), 4096, name)));
    const instance = await scratch.describeInstance('db1', { disks: [scratch.file('disk0'), scratch.file('disk1')] });
    await scratch.gantry('export', instance, scratch.store, '--disk', '0');
    await writeFile(config, `policies: { all: { instances: ${instance}, stores: ${scratch.store} } }`);
    const { exitCode, stdout } = await bench.gantry('status', '--config', config);
    expect({ exitCode, stdout }).toEqual({ exitCode: 17, stdout: expect.stringMatching(/db1 +\S+ +missing /) });
  });

  test('that cannot be asked is unknown, gives 8, and does not hide the rest', async () => {
    const { exitCode, stdout } = await status(
      '  all: { instances: [./instances, /gone.yaml], stores: nightly, copies: [{ to: "ssh://127.0.0.1:1/srv?engine=ssh2" }] }\n',
    );
    expect(exitCode).toBe(8);
    expect(stdout).toMatch(/web1 +nightly +good/);
    expect(stdout).toMatch(/web1 +ssh:\S+ +unknown/);
    expect(stdout).toMatch(/cannot ask ssh:\/\/127\.0\.0\.1:1.*: cannot open/);
    expect(stdout).toMatch(/gone\.yaml/);
  });

  test('is JSON for programs', async () => {
    const result = jsonLines((await status(ALL, '--json', 'all')).stdout).at(-1);
    expect(result).toMatchObject({
      type: 'result',
      policies: [
        {
          policy: 'all',
          maxAgeMs: 26 * 3_600_000,
          instances: [
            { instance: 'web1', store: 'nightly', role: 'exports', state: 'good', good: { plainBytes: 4096, ageMs: expect.any(Number) } },
            { instance: 'web2', good: { reference } },
          ],
          lastRun: { outcome: 'done' },
        },
      ],
    });
  });
});

test('without policies, or with one that does not exist, it says so', async () => {
  await writeFile(config, '');
  expect(await bench.gantry('status', '--config', config)).toMatchObject({ exitCode: 0, stdout: 'no policies in the configuration' });
  expect(await status(ALL, 'al')).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('Did you mean all?') });
});

describe('--check', () => {
  test.each([
    [0, ALL, /^GANTRY OK - 2 exports as promised \| exports=2;;;0 late=0;;0;0 missing=0;;0;0 unknown=0;;;0 oldest=\d+s;;93600;0$/],
    [
      2,
      '  all: { instances: ./instances, stores: nightly, max-age: 1s }\n',
      /^GANTRY CRITICAL - web1 in nightly is 0 min old \(at most 0 min\), web2 .* \| .*late=2/,
    ],
    [
      3,
      '  all: { instances: ./instances, stores: shelf }\n  rest: { instances: /gone.yaml, stores: nightly }\n',
      /^GANTRY (UNKNOWN|CRITICAL) - /,
    ],
    [3, '  all: { instances: ./instances, stores: nightly }\n', /^GANTRY UNKNOWN - policy all has no max-age \| exports=2/],
    [3, '  all: { instances: ./instances, store: nightly }\n', /^GANTRY UNKNOWN - .*gantry\.yaml:\d+:\d+/],
  ])('ends with %i, as monitoring plugins do', async (exitCode, policies, line) => {
    const outcome = await status(policies, '--check');
    expect(outcome.stdout).toMatch(line);
    expect(outcome.stdout).not.toContain('\n');
    expect(outcome).toMatchObject({ exitCode, stderr: '' });
  });
});

test('shows when the timer of systemd starts a policy', async () => {
  await writeFile(config, CONFIG(ALL));
  // A manager of systemd in a mount namespace of its own, where systemctl looks for that of the system.
  const boot = `
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system /run/systemd/user
printf '[Timer]\\nOnCalendar=2099-01-01 02:00:00 UTC\\n' >/run/systemd/user/gantry-run@.timer
printf '[Service]\\nType=oneshot\\nExecStart=/bin/true\\n' >/run/systemd/user/gantry-run@.service
export XDG_RUNTIME_DIR=/run
/usr/lib/systemd/systemd --user --log-target=null & manager=$!
until systemctl --user is-system-running >/dev/null 2>&1; do kill -0 $manager || exit 1; read -t 0.1 _ </dev/zero || :; done
systemctl --user start gantry-run@all.timer gantry-run@other.timer || exit 1
"$0" "$1" status --config "$2" --json
kill $manager; wait $manager`;
  const args = [...OWN_MOUNTS, 'bash', '-c', boot, process.execPath, MAIN, config];
  const { stdout } = await execa('unshare', args, { env: { GANTRY_STATE_DIR: bench.file('state') } });
  expect(jsonLines(stdout).at(-1)).toMatchObject({ policies: [{ policy: 'all', nextRun: '2099-01-01T02:00:00.000Z' }] });
});
