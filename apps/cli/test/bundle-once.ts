import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    /** The script that Node runs as `gantry`. */
    readonly gantry: string;
  }
}

const BUNDLE = fileURLToPath(new URL('bundled-command.ts', import.meta.url));

/** Bundles the command once for all test files. In a process of its own, as Vite's has no `import.meta.resolve`. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const directory = await mkdtemp(join(tmpdir(), 'gantry-command-'));
  // Other users run it too.
  await chmod(directory, 0o755);
  await execa(process.execPath, ['--conditions=@gantry/source', BUNDLE, directory]);
  project.provide('gantry', join(directory, 'bin', 'gantry.cjs'));
  return () => rm(directory, { recursive: true });
}
