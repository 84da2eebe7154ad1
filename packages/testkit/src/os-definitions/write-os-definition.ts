import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A file of a definition: its text (scripts get mode 0755, other files 0644), text with a mode, or where a link leads. */
export type OsDefinitionFile = string | { readonly text: string; readonly mode: number } | { readonly link: string };

/** Files by their names. Null leaves out a file that would be there otherwise. */
export type OsDefinitionFiles = Readonly<Record<string, OsDefinitionFile | null>>;

const SCRIPTS: ReadonlySet<string> = new Set(['create', 'export', 'import', 'rename', 'verify']);

/** A whole definition at API 20 whose dump is the plain image of the disk. */
const DEFAULT_FILES: OsDefinitionFiles = {
  ganeti_api_version: '20\n',
  create: '#!/bin/sh\nexit 0\n',
  export: '#!/bin/sh\nexec cat "$EXPORT_DEVICE"\n',
  import: '#!/bin/sh\nexec dd of="$IMPORT_DEVICE" bs=1M iflag=fullblock conv=notrunc status=none\n',
  rename: '#!/bin/sh\nexit 0\n',
  verify: '#!/bin/sh\nexit 0\n',
  'parameters.list': '',
};

/**
 * Writes an OS definition `name` into `directory`, which becomes a directory of a search path: a small whole one, but for `files`.
 * @returns the definition's own directory
 */
export async function writeOsDefinition(
  directory: string,
  name: string,
  { files = {} }: { readonly files?: OsDefinitionFiles } = {},
): Promise<string> {
  const path = join(directory, name);
  await mkdir(path, { recursive: true });
  for (const [file, content] of Object.entries({ ...DEFAULT_FILES, ...files })) {
    if (content !== null) await writeDefinitionFile(join(path, file), content, SCRIPTS.has(file));
  }
  return path;
}

async function writeDefinitionFile(path: string, content: OsDefinitionFile, isScript: boolean): Promise<void> {
  if (typeof content === 'object' && 'link' in content) return symlink(content.link, path);
  const { text, mode } = typeof content === 'string' ? { text: content, mode: isScript ? 0o755 : 0o644 } : content;
  await writeFile(path, text);
  // Whatever the umask is.
  return chmod(path, mode);
}
