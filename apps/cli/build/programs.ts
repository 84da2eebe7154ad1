import { chmod, copyFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { Plugin } from 'rolldown';

const FILE_BESIDE_A_MODULE = /new URL\((?<quoted>[^,]*),\s*import\.meta\.url\)/g;

/** A package's manifest, at any depth of `src`: from `dist` of the bundle it is one directory up. */
const MANIFEST = /^'(?:\.\.\/)+package\.json'$/;

/** A worker thread beside its module, which is beside the bundle too. */
const THREAD = /^`\.\/[\w-]+\$\{extname\(import\.meta\.filename\)\}`$/;

/** A script that is run, or printed for a shell that completes calls. */
const SCRIPT = /^'([^']+\.(?:sh|bash|zsh|fish))'$/;

/** Copies the shell scripts of our packages to the bundle's directory, and makes the bundle look for them there. */
export function programsOfPackages(): Plugin {
  const programs = new Set<string>();
  return {
    name: 'programs-of-packages',
    transform: {
      filter: { id: { include: /\.ts$/, exclude: /node_modules/ }, code: 'import.meta.url' },
      handler(code, id) {
        return code.replaceAll(FILE_BESIDE_A_MODULE, (expression, quoted: string) => {
          if (MANIFEST.test(quoted)) return `new URL('../package.json', import.meta.url)`;
          if (THREAD.test(quoted)) return expression;
          const path = SCRIPT.exec(quoted)?.[1];
          if (path === undefined) return this.error(`${id}: ${expression} would not resolve from the bundle`);
          programs.add(resolve(dirname(id), path));
          return `new URL('./${basename(path)}', import.meta.url)`;
        });
      },
    },
    async writeBundle({ dir = '.' }) {
      for (const program of programs) {
        const copy = join(dir, basename(program));
        await copyFile(program, copy);
        await chmod(copy, program.endsWith('.sh') ? 0o755 : 0o644);
      }
    },
  };
}
