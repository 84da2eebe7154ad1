/*
 * Writes gantry-fleet into an empty directory of a Gantry that has Node, koffi and ssh2 in the one above: standalone.ts DIRECTORY. To be
 * run with `--conditions=@gantry/source`; `packaging/stage.sh` calls it.
 */
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
// @boundaries-ignore what makes the packages serves both commands, and is published with none
import { bundle } from '../../cli/build/bundle.ts';
// @boundaries-ignore what makes the packages serves both commands, and is published with none
import { copyDependencies } from '../../cli/build/dependencies.ts';
// @boundaries-ignore what makes the packages serves both commands, and is published with none
import { licensesOf } from '../../cli/build/licenses.ts';
// @boundaries-ignore what makes the packages serves both commands, and is published with none
import { readManifest } from '../../cli/build/manifest.ts';

const PACKAGE = fileURLToPath(new URL('..', import.meta.url));

/** PostgreSQL in WebAssembly, for the queue of one machine. */
const DATABASE = '@electric-sql/pglite';

const [directory = ''] = process.argv.slice(2);
await mkdir(directory, { recursive: true });
await cp(join(PACKAGE, 'bin'), join(directory, 'bin'), { recursive: true });
const { name, version, license, type } = await readManifest(join(PACKAGE, 'package.json'));
await writeFile(join(directory, 'package.json'), `${JSON.stringify({ name, version, license, type }, null, 2)}\n`);
const files = await copyDependencies([DATABASE], join(PACKAGE, 'package.json'), join(directory, 'node_modules'));
// As modules: main.ts waits at its top level. pg asks for pg-native, which is not installed, only when somebody wants it.
const modules = await bundle(join(directory, 'dist'), {
  start: { main: join(PACKAGE, 'src', 'main.ts') },
  outside: ['koffi', 'ssh2', 'pg-native', DATABASE],
  format: 'es',
});
await writeFile(join(directory, 'dist', 'THIRD-PARTY-LICENSES.txt'), await licensesOf([...files, ...[...modules.values()].flat()]));
