import { copyFile, glob, mkdir, realpath } from 'node:fs/promises';
import { findPackageJSON } from 'node:module';
import { dirname, join } from 'node:path';
import { readManifest } from './manifest.ts';

/** What Node reads, and the database of PGlite. Sources in C, pages and types are left out. */
const NEEDED = /\.(?:c?js|json|node|wasm|data)$/;

/**
 * Directories and files that are for the builds and tests of packages, and binaries for another C library; of PGlite its extensions, and
 * its second form for `require`.
 */
const NOT_NEEDED =
  /^(?:doc|examples|test|util|vendor|musl_[^/]+|dist\/(?:contrib|live|node-postgres|worker))\/|^(?:cnoke\.cjs|install\.js|tests\.js)$|^dist\/.*\.cjs$/;

/** Optional dependencies of ssh2 that only serve to compile a part in C, which it does without. */
const NOT_COMPILED: ReadonlySet<string> = new Set(['cpu-features', 'nan']);

/**
 * Copies packages and all their dependencies, without what only their builds and tests need, side by side into a directory that is
 * called `node_modules`.
 *
 * @param base a file of the package that depends on them
 * @returns the files that were copied
 * @throws Error if two versions of a package are needed
 */
export async function copyDependencies(names: readonly string[], base: string, directory: string): Promise<readonly string[]> {
  const places = new Map<string, string>();
  await findPackages(names, base, places);
  const copied = await Promise.all([...places].map(([name, place]) => copyPackage(place, join(directory, name))));
  return copied.flat();
}

async function findPackages(names: readonly string[], base: string, places: Map<string, string>): Promise<void> {
  for (const name of names) {
    const found = findPackageJSON(name, base);
    if (found === undefined) throw new Error(`${name} is not installed`);
    const manifest = await realpath(found);
    const known = places.get(name);
    if (known === dirname(manifest)) continue;
    if (known !== undefined) throw new Error(`${name} is needed in two versions: ${known}, ${manifest}`);
    places.set(name, dirname(manifest));
    await findPackages(await dependenciesOf(manifest), manifest, places);
  }
}

/** The names of its dependencies; of optional ones, those that are installed. */
async function dependenciesOf(manifest: string): Promise<readonly string[]> {
  const { dependencies = {}, optionalDependencies = {} } = await readManifest(manifest);
  const optional = Object.keys(optionalDependencies).filter((name) => !NOT_COMPILED.has(name) && isInstalled(name, manifest));
  return [...Object.keys(dependencies), ...optional];
}

function isInstalled(name: string, base: string): boolean {
  try {
    return findPackageJSON(name, base) !== undefined;
  } catch {
    return false;
  }
}

async function copyPackage(from: string, to: string): Promise<readonly string[]> {
  const names = await Array.fromAsync(glob('**/*', { cwd: from }));
  const needed = names.filter((name) => NEEDED.test(name) && !NOT_NEEDED.test(name));
  for (const name of needed) {
    await mkdir(dirname(join(to, name)), { recursive: true });
    await copyFile(join(from, name), join(to, name));
  }
  return needed.map((name) => join(from, name));
}
