import { cp, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { bundle } from '../build/bundle.ts';

/**
 * Puts the package as it is published into a directory, with its dependencies; the command is `bin/gantry.cjs` there.
 *
 * @returns the modules that went into each file of the bundle, by the file's name
 */
export async function bundleCommand(directory: string): Promise<ReadonlyMap<string, readonly string[]>> {
  for (const name of ['bin', 'package.json']) await cp(inPackage(name), join(directory, name), { recursive: true });
  await symlink(inPackage('node_modules'), join(directory, 'node_modules'));
  return bundle(join(directory, 'dist'));
}

function inPackage(name: string): string {
  return fileURLToPath(new URL(`../${name}`, import.meta.url));
}

if (import.meta.main) {
  const [directory = ''] = process.argv.slice(2);
  await bundleCommand(directory);
}
