/*
 * Writes the command with all that it needs except Node into an empty directory: standalone.ts DIRECTORY. To be run with
 * `--conditions=@gantry/source`; `packaging/stage.sh` puts a Node beside it.
 */
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { bundle } from './bundle.ts';
import { copyDependencies } from './dependencies.ts';
import { licensesOf } from './licenses.ts';
import { readManifest } from './manifest.ts';

const PACKAGE = fileURLToPath(new URL('..', import.meta.url));

const [directory = ''] = process.argv.slice(2);
await mkdir(directory, { recursive: true });
for (const name of ['bin', 'os']) await cp(join(PACKAGE, name), join(directory, name), { recursive: true });
const { name, version, license, type, dependencies = {} } = await readManifest(join(PACKAGE, 'package.json'));
await writeFile(join(directory, 'package.json'), `${JSON.stringify({ name, version, license, type }, null, 2)}\n`);
const files = await copyDependencies(Object.keys(dependencies), join(PACKAGE, 'package.json'), join(directory, 'node_modules'));
const modules = await bundle(join(directory, 'dist'));
await writeFile(join(directory, 'dist', 'THIRD-PARTY-LICENSES.txt'), await licensesOf([...files, ...[...modules.values()].flat()]));
