import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import { licensesOf } from './licenses.ts';
import { programsOfPackages } from './programs.ts';

const START = fileURLToPath(new URL('../src/start.ts', import.meta.url));

/** Worker threads, of the S3 transport and of encrypted files: they are looked for beside what starts them. */
const MD5_THREAD = fileURLToPath(new URL('write/md5-thread.ts', import.meta.resolve('@gantry/transport-s3')));
const AGE_THREAD = fileURLToPath(new URL('age-thread.ts', import.meta.resolve('@gantry/age')));

/** What becomes a bundle. */
export interface BundledProgram {
  /** The module that starts it, by the name of its script. */
  readonly start: Readonly<Record<string, string>>;
  /** Packages with parts that are not JavaScript, which they look for beside themselves. */
  readonly outside: readonly string[];
  readonly format: 'cjs' | 'es';
}

/** CommonJS, because Node starts it faster; `docs/decisions/0004-one-bundle.md` has the figures. The published package depends on nothing else. */
const GANTRY: BundledProgram = { start: { start: START }, outside: ['koffi', 'ssh2'], format: 'cjs' };

/**
 * Writes a command, by default `gantry` as it is published: one script that every call needs, and others that are loaded on demand. To be
 * run with `--conditions=@gantry/source`.
 *
 * @returns the modules that went into each file, by the file's name
 */
export async function bundle(
  directory: string,
  { start, outside, format }: BundledProgram = GANTRY,
): Promise<ReadonlyMap<string, readonly string[]>> {
  await using build = await rolldown({
    input: { ...start, 'md5-thread': MD5_THREAD, 'age-thread': AGE_THREAD },
    platform: 'node',
    external: [...outside],
    // Beside what Node itself has for imports, and for calls of require.
    resolve: { conditionNames: ['@gantry/source'] },
    transform: { target: 'node22.18' },
    plugins: [programsOfPackages()],
  });
  const extension = format === 'cjs' ? 'cjs' : 'js';
  const { output } = await build.write({
    dir: directory,
    format,
    entryFileNames: `[name].${extension}`,
    chunkFileNames: `[name]-[hash].${extension}`,
    cleanDir: true,
  });
  const chunks = output.filter((file) => file.type === 'chunk');
  const modules = new Map(chunks.map(({ fileName, moduleIds }) => [fileName, moduleIds]));
  await writeFile(join(directory, 'THIRD-PARTY-LICENSES.txt'), await licensesOf([...modules.values()].flat()));
  return modules;
}

if (import.meta.main) {
  const directory = fileURLToPath(new URL('../dist', import.meta.url));
  await mkdir(directory, { recursive: true });
  await bundle(directory);
}
