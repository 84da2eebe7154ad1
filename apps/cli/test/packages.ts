import { readFile, readdir, realpath, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FreshRoot } from '@gantry/testkit';
import { execa } from 'execa';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** What users install, by its name in `docs/how-to/install.md`. */
export interface Packages {
  readonly directory: string;
  readonly deb: string;
  readonly archive: string;
  readonly tarball: string;
  /** What `lintian` and the builds printed. */
  readonly log: string;
}

/** Who answers for the packages of the tests. */
export const MAINTAINER = 'R&D / Packages <packages@example.org>';

/** Builds all packages from this checkout, less compressed than for a release. @throws execa's error, with `all` that was printed */
export async function buildPackages(directory: string, { maintainer = MAINTAINER } = {}): Promise<Packages> {
  const env = { GANTRY_MAINTAINER: maintainer, GANTRY_XZ_LEVEL: '0', GANTRY_GZIP_LEVEL: '1' };
  const { all } = await execa(join(ROOT, 'scripts/package.sh'), [directory], { env, all: true, stdin: 'ignore' });
  const names = await readdir(directory);
  const find = (suffix: string): string => {
    const [found, another] = names.filter((name) => name.endsWith(suffix));
    if (found === undefined || another !== undefined) throw new Error(`not exactly one package *${suffix}: ${names.join(', ')}`);
    return found;
  };
  return { directory, deb: find('.deb'), archive: find('.tar.gz'), tarball: find('.tgz'), log: all };
}

/** The same package with a later version and another default configuration, as a release that follows. */
export async function laterPackage(deb: string, directory: string): Promise<string> {
  const tree = join(directory, 'tree');
  await execa('dpkg-deb', ['--raw-extract', deb, tree]);
  await edit(join(tree, 'DEBIAN/control'), (text) => text.replace(/^Version: .*$/m, 'Version: 99.0.0'));
  await edit(join(tree, 'etc/gantry/gantry.yaml'), (text) => `${text}# Another default.\n`);
  const later = join(directory, 'gantry_99.0.0_amd64.deb');
  await execa('dpkg-deb', ['-Znone', '--build', tree, later]);
  return later;
}

async function edit(file: string, change: (text: string) => string): Promise<void> {
  await writeFile(file, change(await readFile(file, 'utf8')));
}

/** The directories of a Node of that version, and of this machine's npm. */
export async function findNodeAndNpm(version: string): Promise<{ readonly node: string; readonly npm: string }> {
  const { stdout: node } = await execa(join(ROOT, 'packaging/fetch-node.sh'), [version]);
  const { stdout: npm } = await execa('which', ['npm']);
  return { node, npm: dirname(dirname(await realpath(npm))) };
}

/** The first block of shell commands below a heading of a page in `docs/how-to`. */
export async function documentedCommands(page: string, heading: string): Promise<string> {
  const text = await readFile(join(ROOT, 'docs/how-to', page), 'utf8');
  const section = text.slice(text.indexOf(`\n## ${heading}\n`));
  const block = /```sh\n([^]*?)```/.exec(section)?.[1];
  if (!text.includes(`\n## ${heading}\n`) || block === undefined) throw new Error(`${page} has no commands below "${heading}"`);
  return block;
}

const INSTANCE = (name: string): string =>
  `name: ${name}.example.com\nos: raw\nhypervisor: kvm\ndisks:\n  - path: /srv/disks/${name}.img\n`;

/** Two instances in a root, `/root/web1.yaml` with data on its disk and `/root/web2.yaml` with an empty one, and a store, `/srv/exports`. */
export async function furnish(root: FreshRoot): Promise<void> {
  await root.run('sh', '-ec', 'mkdir /srv/disks && truncate -s 8M /srv/disks/web1.img /srv/disks/web2.img');
  await root.run('dd', 'if=/dev/urandom', 'of=/srv/disks/web1.img', 'bs=1M', 'count=3', 'seek=2', 'conv=notrunc');
  for (const name of ['web1', 'web2']) await writeFile(root.path(`/root/${name}.yaml`), INSTANCE(name));
  await root.run('gantry', 'store', 'init', '/srv/exports');
}

/** An export, a verification and an import. @returns the name of the export */
export async function exportAndImport(root: FreshRoot): Promise<string> {
  const reference = await root.run('gantry', 'export', '/root/web1.yaml', '/srv/exports');
  await root.run('gantry', 'verify', '/srv/exports', reference);
  await root.run('gantry', 'import', '/srv/exports', reference, '--to', '/root/web2.yaml', '--yes');
  await root.run('cmp', '/srv/disks/web1.img', '/srv/disks/web2.img');
  return reference;
}
