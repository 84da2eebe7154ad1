import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * A package that is not Gantry's, as if it were installed beside the command: from the source, packages are looked for beside it, so
 * the resolver gets the location of this one.
 *
 * @returns what `NODE_OPTIONS` must be
 */
export async function writePackage(directory: string, name: string, source: string): Promise<string> {
  const [code, hook] = [join(directory, `${name}.mjs`), join(directory, `find-${name}.mjs`)];
  await writeFile(code, source);
  await writeFile(
    hook,
    `import { registerHooks } from 'node:module';
registerHooks({ resolve: (name, context, next) => name === '${name}' ? next(${JSON.stringify(`file://${code}`)}, context) : next(name, context) });`,
  );
  return `--import ${hook}`;
}
