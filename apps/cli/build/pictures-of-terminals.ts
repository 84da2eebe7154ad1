/*
 * Makes the pictures of commands on terminals of 80 and of 120 columns, from a store that is made for it and is `/srv` to them, for which it
 * needs root. To be run with `--conditions=@gantry/source`.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { PROMPT, toSvg } from './recording.ts';

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const DOCS = fileURLToPath(new URL('../../../docs/', import.meta.url));
const HOUR_MS = 3_600_000;

/** Hours since the last export of each instance. */
const AGES: Readonly<Record<string, number>> = { 'db1.berlin.example.com': 31, 'mail.berlin.example.com': 6, 'web1.berlin.example.com': 6 };

/** What the pictures show, the looking ones first: a run adds exports. `--quiet` leaves out what moves. */
const CALLS = ['status', 'list nightly', 'run web --quiet'];

const directory = await mkdtemp(join(tmpdir(), 'gantry-pictures-'));
const within = ['--mount', '--propagation', 'private', 'sh', '-c', 'mount --bind "$0" /srv && exec "$@"', directory];
const gantry = [process.execPath, '--conditions=@gantry/source', MAIN];
const env = { GANTRY_STATE_DIR: '/srv/state', GANTRY_CREATE_STORE: '1' };

async function exportOfAge(name: string, hours: number): Promise<void> {
  await writeFile(join(directory, `disks/${name}.img`), randomBytes(3 * 1024 ** 2));
  await writeFile(join(directory, `${name}.yaml`), `name: ${name}\nos: raw\nhypervisor: kvm\ndisks: [{ path: /srv/disks/${name}.img }]\n`);
  const { stdout } = await execa('unshare', [...within, ...gantry, 'export', `/srv/${name}.yaml`, '/srv/exports', '--quiet'], { env });
  const started = new Date(Date.now() - hours * HOUR_MS);
  const id = `${started.toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z`;
  const place = join(directory, 'exports', name, id);
  await rename(join(directory, 'exports', stdout.replace('@', '/')), place);
  const manifest: unknown = JSON.parse(await readFile(join(place, 'manifest.json'), 'utf8'));
  await writeFile(join(place, 'manifest.json'), JSON.stringify({ ...Object(manifest), exportId: id, started: started.toISOString() }));
}

/** What a terminal of that width shows. */
async function onTerminal(columns: number, call: string): Promise<readonly string[]> {
  const command = `stty cols ${columns}; ${[...gantry, call, '--config /srv/gantry.yaml'].join(' ')}`;
  const { stdout } = await execa('unshare', [...within, 'script', '-qc', command, '/dev/null'], {
    env: { ...env, TERM: 'xterm' },
    reject: false,
  });
  // A terminal breaks longer lines.
  return stdout.split('\n').flatMap((line) => line.trimEnd().match(new RegExp(`.{1,${columns}}`, 'g')) ?? ['']);
}

try {
  await mkdir(join(directory, 'disks'));
  for (const [name, hours] of Object.entries(AGES)) await exportOfAge(name, hours);
  await writeFile(
    join(directory, 'gantry.yaml'),
    `stores: { nightly: { url: exports } }\npolicies:\n  web: { instances: [${Object.keys(AGES)
      .map((name) => `${name}.yaml`)
      .join(', ')}], stores: nightly, max-age: 26h, verify: { budget: 5% } }\n`,
  );
  for (const call of CALLS) {
    // How a failure looks, too.
    if (call.startsWith('run')) await rm(join(directory, 'disks/mail.berlin.example.com.img'), { force: true });
    for (const columns of [80, 120]) {
      const title = `gantry ${call} on a terminal of ${columns} columns`;
      const lines = [`${PROMPT}gantry ${call}`, ...(await onTerminal(columns, call))];
      await writeFile(join(DOCS, `${call.split(' ', 1).join()}-${columns}.svg`), toSvg(lines, { columns, title }));
    }
  }
} finally {
  await rm(directory, { recursive: true });
}
