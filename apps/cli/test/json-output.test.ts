import { cp, mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import {
  createBucket,
  s3Request,
  makeRandomFile,
  makeSparseFile,
  makeTemporaryDirectory,
  startCeph,
  startSshServer,
} from '@gantry/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { COMMANDS } from '../src/commands.ts';
import { DESCRIBED_OPERATIONS, outputJsonSchema } from '../src/output/output-schema.ts';
import { fieldsOf, readDocumentedFields } from './documented-json.ts';
import type { DocumentedFields } from './documented-json.ts';
import { writeShelf } from './shelf-inventory.ts';
import type { Workbench } from './workbench.ts';
import { assertValidOutput } from './valid-output.ts';
import { Recipients } from '@gantry/age';
import { sealExport, writeIdentity } from './sealed-export.ts';
import { exportDirectory, jsonLines, MAIN, lastLine, makeWorkbench, waitForFile } from './workbench.ts';

const MIB = 1024 * 1024;
const REFERENCE = new URL('../../../docs/reference/', import.meta.url);

const page = await readFile(new URL('json-output.md', REFERENCE), 'utf8');
const documented: DocumentedFields = readDocumentedFields(page);
/** What came, by the headings of the page. */
const seen = new Map<string, Set<string>>();

let bench: Workbench;
let scope: AsyncDisposableStack;

/** Runs a command with `--json`, notes what it printed, and gives its last line. */
async function run(...args: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
  const { stdout, stderr } = await bench.gantry(...args, '--json');
  const lines = jsonLines(stdout);
  expect(lines.at(-1)?.['type'], `${args.join(' ')}: ${stderr}`).toMatch(/^(result|error)$/);
  for (const { type, ...fields } of lines) {
    const operation = String(fields['operation']).replace(/^(config|keys|os|store|snapshots)-/, '$1 ');
    const heading = type === 'result' ? `gantry ${operation}` : `Event ${String(type)}`;
    const known = seen.get(heading) ?? new Set();
    for (const field of fieldsOf(fields, documented.get(heading) ?? new Set())) known.add(field);
    seen.set(heading, known);
  }
  return lines.at(-1) ?? {};
}

beforeAll(async () => {
  scope = new AsyncDisposableStack();
  const home = scope.use(await makeTemporaryDirectory());
  const instance = { name: 'shelved.example.com', os: 'raw', hypervisor: 'kvm' };
  const shelved = {
    instance,
    run: { state: 'running', node: 'node2' },
    guarded: ['/dev/vg/shelved'],
    guest: { kind: 'qmp', socket: '/run/shelved.qmp' },
    disksOn: 'node2',
  } as const;
  const disk = { path: home.file('moved.img') };
  const moved = {
    instance: { name: 'moved.example.com', os: 'raw', hypervisor: 'kvm', disks: [disk] },
    run: { state: 'running', node: 'node1' },
    guarded: [disk.path],
  } as const;
  await makeRandomFile(disk.path, MIB, 'moved');
  const env = await writeShelf(home.path, [shelved, moved]);
  // No timer of systemd runs here: status.test.ts asks a real manager.
  const timers = [{ next: Date.UTC(2099, 0, 1) * 1000, unit: 'gantry-run@nightly.timer' }];
  await mkdir(home.file('bin'));
  await writeFile(home.file('bin', 'systemctl'), `#!/bin/sh\necho '${JSON.stringify(timers)}'\n`, { mode: 0o755 });
  const path = `${home.file('bin')}:${process.env['PATH'] ?? ''}`;
  bench = scope.use(await makeWorkbench({ ...env, PATH: path, GANTRY_PARALLEL: '4' }));
  await bench.defineOs('full', {
    export: 'echo exporting >&2; exec cat "$EXPORT_DEVICE"',
    // Leaves a few bytes unread, of which Gantry warns.
    import: `head -c ${MIB - 100} >"$IMPORT_DEVICE"`,
    rename: 'exit 0',
    'parameters.list': 'filesystem the kind of file system\n',
    hypervisors: 'kvm\n',
  });
  await bench.defineOs('../more/full', {});
  await bench.defineOs('broken', { ganeti_api_version: '99\n' });
  await bench.defineOs('slow', { export: 'echo started >"$EXPORT_DEVICE.started"; sleep 600', import: 'exit 0' });
  await makeRandomFile(bench.file('a.img'), MIB, 'a');
  await makeSparseFile(bench.file('b.img'), MIB);
  await makeSparseFile(bench.file('small.img'), MIB / 2);
  const a = await bench.describeInstance('a.example.com', { os: 'full', disks: ['a.img'] });
  const b = await bench.describeInstance('b.example.com', { os: 'full', disks: ['b.img'] });
  const raw = await bench.describeInstance('raw.example.com', { disks: ['a.img'] });
  const small = await bench.describeInstance('small.example.com', { disks: ['small.img'] });
  const slow = await bench.describeInstance('slow.example.com', { os: 'slow', disks: ['a.img'] });
  const { store } = bench;

  await run('store', 'init', store);
  const { reference } = await run('export', a, store);
  const { reference: plain } = await run('export', raw, store, '--codec', 'none');
  await run('import', store, String(reference), '--to', b);
  await run('import', store, String(reference), '--to', b, '--dry-run');
  await run('import', store, String(plain), '--disk', `0=${bench.file('new.img')}`, '--create-disks', '--dry-run');
  await run('show', store, String(plain), '--instance-file');
  await run('export', raw, store, '--dry-run');
  await run('export', raw, store, 'ssh://root@127.0.0.1:1/exports', '--dry-run');
  await run('remove', store, String(plain), '--dry-run');
  await run('import', store, String(plain), '--to', small);
  await run('consolidate', store, String(plain));
  await run('verify', store, String(reference));
  await run('verify', store, String(plain), '--rehearse', bench.path);
  await run('snapshots', 'check', raw);
  await run('copy', store, String(reference), bench.file('second'));
  await putSomethingInItsPlace(bench.file('second'), String(plain));
  await run('mirror', store, bench.file('second'));
  await run('tag', store, String(plain), '--add', 'kept', '--note', 'by hand');
  await run('mirror', store, bench.file('second'), '--tag', 'kept');
  await run('show', store, String(reference));
  await copyIntoTheFuture(String(plain));
  await makeGanetiExport(String(plain));
  await run('show', store, 'ganeti.example.com');
  await makeSparseFile(bench.file('defined.img'), MIB);
  const defined = await bench.describeInstance('defined.example.com', { disks: ['defined.img'] });
  const { reference: native } = await run('export', 'shelf:moved', store, '--snapshot', 'none');
  await run('show', store, String(native));
  await run('import', store, String(native), '--to', defined, '--define', 'shelf:', '--resume');

  const recipient = await writeIdentity(bench.file('key.txt'));
  const other = await writeIdentity(bench.file('other.txt'));
  const sealed = await sealExport(bench, raw, Recipients.of([recipient]));
  await run('verify', store, sealed);
  await run('show', store, sealed);
  await run('keys', 'add', store, sealed, '--recipient', other, '--identity', bench.file('key.txt'));
  await run('keys', 'check', store, '--identity', bench.file('key.txt'));
  await writeIdentity(bench.file('third.txt'));
  await run('keys', 'check', store, '--identity', bench.file('third.txt'));
  await run('verify', store, '--depth', 'frames', '--identity', bench.file('third.txt'));
  const keys = `${store}/${sealed.replace('@', '/')}/keys-`;
  await rename(`${keys}1.age`, `${keys}2.age`);
  await run('keys', 'check', store);
  await writeFile(bench.file('signers'), '');
  await run('verify', store, '--allowed-signers', bench.file('signers'));

  const killed = bench.start('export', slow, store);
  await waitForFile(bench.file('a.img.started'));
  killed.kill('SIGKILL');
  await killed.outcome;
  await damageExports(a);
  await run('verify', store, '--budget', '1K');
  await run('list', store);
  await run('diff', store, String(reference), String(plain));
  await run('clean', store, '--dry-run');
  await run('clean', store);
  const kept = await bench.describeInstance('kept.example.com', { disks: ['a.img'] });
  const { reference: base } = await run('export', kept, store);
  await run('export', kept, store, '--incremental');
  await run('remove', store, String(base));
  const two = await bench.describeInstance('two.example.com', { disks: ['a.img', 'small.img'] });
  await run('export', two, store, '--disk', '0');
  await run('list', store);
  await run('prune', store, '--keep-last', '1', '--dry-run');
  const guarded = { url: store, 'allowed-signers': bench.file('signers'), 'require-signature': true };
  await writeFile(bench.file('guarded.yaml'), JSON.stringify({ stores: { guarded } }));
  await run('export', kept, store);
  await run('prune', 'guarded', '--keep-last', '1', '--dry-run', '--config', bench.file('guarded.yaml'));
  await run('remove', store, String(plain));
  await run('export', kept, store, bench.file('a.img', 'store'));

  await run('create', b);
  await run('rename', b, 'c.example.com');
  await run('os', 'list', '--os-path', bench.file('os'), '--os-path', bench.file('more'));
  await run('os', 'show', 'full');
  await run('os', 'check', 'full', '-O', 'filesystem=ext4');
  await run('store', 'conformance', store);
  await run('schema');
  await run('completion', 'fish');
  await run('complete', 'ver');
  await run('version');
  const named = bench.file('named.yaml');
  await writeFile(
    named,
    `stores: { here: { url: ${store}, level: 3 }, gone: { url: gone } }\npolicies: { web: { instances: ./a.example.com.yaml, stores: here } }`,
  );
  await run('config', 'show', '--config', named);
  await run('config', 'show', '--policy', 'web', '--config', named);
  await run('config', 'check', '--config', named);
  await run('instances', 'shelf:');
  await run('describe', 'shelf:shelved');
  const config = bench.file('gantry.yaml');
  await writeFile(
    config,
    `policies: { nightly: { instances: [${raw}, ${a}], stores: ${store}, hooks: { after-snapshot: [/bin/false] } } }\n`,
  );
  await run('run', 'nightly', '--config', config);
  await run('notify', 'nightly', '--config', config);
  await run('verify', store, 'a.example.com');
  await writeFile(config, `policies: { nightly: { instances: ${a}, stores: [${store}, /nonexistent], max-age: 1d } }\n`);
  await run('status', '--config', config);
  const strict = bench.file('strict.yaml');
  const signers = `allowed-signers: ${bench.file('signers')}, require-signature: true`;
  await writeFile(strict, `policies: { nightly: { instances: ${a}, stores: ${store}, ${signers} } }\n`);
  await run('status', '--config', strict);
  await mkdir(bench.file('unlisted'));
  await writeFile(bench.file('unlisted', 'policies'), '');
  await run('status', '--config', config, '--state-dir', bench.file('unlisted'));
  await run('status', '--check', '--config', config);
  await run('report', store, '--out', bench.file('report.html'));

  await listLocked(a);

  const server = scope.use(await startSshServer());
  const peer = bench.file('peer');
  const command = `${process.execPath} ${MAIN} "$@"`;
  const shelf = `NODE_OPTIONS='${env['NODE_OPTIONS'] ?? ''}' SHELF=${env['SHELF'] ?? ''}`;
  const there = `GANTRY_STATE_DIR=${bench.file('state-there')} GANTRY_OS_PATH=${bench.file('os')} ${shelf}`;
  await writeFile(peer, `#!/bin/sh\n${there} exec ${command}\n`, { mode: 0o755 });
  await run('move', a, server.address(''), '--to', b, '--peer-program', peer, '--dry-run');
  const { moveId } = await run('move', a, server.address(''), '--to', b, '--peer-program', peer);
  await makeSparseFile(bench.file('target.img'), MIB);
  const target = await bench.describeInstance('target.example.com', { disks: ['target.img'] });
  await writeFile(bench.file('pause.yaml'), 'pause: ["true"]\nresume: ["true"]\n');
  const live = ['--live-rounds', '2', '--snapshot-config', bench.file('pause.yaml')];
  await run('move', raw, server.address(''), '--to', target, '--peer-program', peer, ...live);
  const along = ['--define', 'shelf:', '--start', '--stop-source', '--undefine-source', '--snapshot', 'none'];
  await run('move', 'shelf:moved', server.address(''), '--to', target, '--peer-program', peer, ...along);
  await run('receive', '--outcome', String(moveId), '--state-dir', bench.file('state-there'));
});

afterAll(() => scope.disposeAsync());

/** A bucket whose objects have locks. */
async function listLocked(instance: string): Promise<void> {
  await using ceph = await startCeph();
  await createBucket(ceph, 'locked', { objectLock: true });
  const lock = { objectLockMode: 'GOVERNANCE', objectLockRetainUntil: '1d' };
  const address = `s3://locked/exports?${new URLSearchParams({ endpoint: ceph.endpoint, ...lock }).toString()}`;
  await using inBucket = await makeWorkbench({ AWS_ACCESS_KEY_ID: ceph.accessKeyId, AWS_SECRET_ACCESS_KEY: ceph.secretAccessKey });
  const exported = await inBucket.gantry('export', instance, address, '--os-path', bench.file('os'));
  expect(exported.exitCode, exported.stderr).toBe(0);
  const reference = lastLine(exported.stdout);
  const see = async (command: string, ...args: readonly string[]): Promise<void> => {
    const heading = `gantry ${command}`;
    const { stdout } = await inBucket.gantry(command, address, ...args, '--json');
    const known = seen.get(heading) ?? new Set();
    seen.set(heading, known);
    for (const field of fieldsOf(jsonLines(stdout).at(-1) ?? {}, documented.get(heading) ?? new Set()))
      if (field !== 'type') known.add(field);
  };
  await see('list');
  await see('verify', reference);
  const tomorrow = new Date(Date.now() + 86_400_000).toISOString().slice(0, 10);
  expect((await inBucket.gantry('list', address)).stdout).toMatch(
    new RegExp(`PROTECTED\\s.*until (${tomorrow}|\\d{4}-\\d\\d-\\d\\d)`, 's'),
  );
  await inBucket.gantry('remove', address, reference);
  const sums = `/locked/exports/${reference.replace('@', '/')}/SHA256SUMS`;
  await s3Request(ceph, sums, { method: 'PUT', body: 'not one' });
  await see('undelete', reference);
}

/** One export that is seen to be damaged, and one that a verification finds so. */
async function damageExports(instance: string): Promise<void> {
  for (const end of [1000, undefined]) {
    const { reference } = await run('export', instance, bench.store, '--codec', 'none');
    const dump = join(exportDirectory(bench, String(reference)), 'disk0.img');
    const bytes = await readFile(dump);
    await writeFile(dump, bytes.fill(1, 0, 500).subarray(0, end));
    await run('verify', bench.store, String(reference));
  }
}

/** An export that seems to begin next century, of which a listing warns. */
async function copyIntoTheFuture(reference: string): Promise<void> {
  const from = exportDirectory(bench, reference);
  const to = join(from, '..', '20991231T235959Z');
  await cp(from, to, { recursive: true });
  const manifest: unknown = JSON.parse(await readFile(join(to, 'manifest.json'), 'utf8'));
  const changed = { ...Object(manifest), exportId: '20991231T235959Z', started: '2099-12-31T23:59:59.000Z' };
  await writeFile(join(to, 'manifest.json'), JSON.stringify(changed));
}

/** So that the export cannot be copied to this store. */
async function putSomethingInItsPlace(store: string, reference: string): Promise<void> {
  const place = join(store, reference.replace('@', '/'));
  await mkdir(place, { recursive: true });
  await writeFile(join(place, 'notes.txt'), 'mine');
}

/** What Ganeti would have written: `config.ini` and the dumps. */
async function makeGanetiExport(reference: string): Promise<void> {
  const to = join(bench.store, 'ganeti.example.com');
  await cp(exportDirectory(bench, reference), to, { recursive: true });
  for (const name of await readdir(to)) if (/^(manifest|export|SHA)/.test(name)) await rm(join(to, name));
  const config = await readFile(join(to, 'config.ini'), 'utf8');
  await writeFile(join(to, 'config.ini'), config.replaceAll('raw.example.com', 'ganeti.example.com'));
}

describe('the page of JSON output', () => {
  test.each([...documented.keys()])('says of "%s" what comes, and nothing else', (heading) => {
    expect([...(seen.get(heading) ?? [])].toSorted()).toEqual([...(documented.get(heading) ?? [])].toSorted());
  });

  test('has a section for every command and event', () => {
    expect(COMMANDS.map(({ name }) => `gantry ${name}`).filter((heading) => !documented.has(heading))).toEqual([]);
    expect([...seen.keys()].filter((heading) => !documented.has(heading))).toEqual([]);
  });

  test('leaves the fields of a dump to the page of the manifest, which has them all', async () => {
    const layout = await readFile(new URL('formats/export-layout.md', REFERENCE), 'utf8');
    const { dumps } = await run('export', bench.file('a.example.com.yaml'), bench.store, '--codec', 'none');
    const fields = Array.isArray(dumps) ? dumps.flatMap((dump) => Object.keys(Object(dump))) : [];
    expect(fields).toContain('frameSize');
    expect(fields.filter((field) => !new RegExp(`\`(dumps\\[\\]\\.)?${field}\``).test(layout))).toEqual([]);
  });
});

describe('the schema of JSON output', () => {
  test('is what gantry schema output prints, and describes the result of every command', async () => {
    const result = await run('schema', 'output');
    expect(result['schema']).toEqual(outputJsonSchema());
    expect(COMMANDS.map(({ name }) => name.replace(' ', '-')).filter((name) => !DESCRIBED_OPERATIONS.includes(name))).toEqual([]);
  });

  test.each([
    { type: 'progress', operation: 'export', disk: 0, plainBytes: -1, storedBytes: 0 },
    { type: 'result', operation: 'report', file: '/report.html', stores: 'a', exports: 1 },
    { type: 'error', message: 'no code', exitCode: 1 },
    { operation: 'list' },
  ])('does not accept %j', (line) => {
    expect(() => assertValidOutput(line)).toThrow('not as the schema says');
  });

  test('accepts what later versions may add', () => {
    expect(() => assertValidOutput({ type: 'result', operation: 'later', anything: 1 })).not.toThrow();
    expect(() => assertValidOutput({ type: 'note', message: 'x', more: 1 })).not.toThrow();
  });
});
