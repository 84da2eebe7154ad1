import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A file of a definition: its text (scripts get mode 0755, other files 0644), text with a mode, or the target of a link. */
export type OsDefinitionFile = string | { readonly text: string; readonly mode: number } | { readonly link: string };

/** Files by name. Null leaves out a file that would exist by default. */
export type OsDefinitionFiles = Readonly<Record<string, OsDefinitionFile | null>>;

const SCRIPTS: ReadonlySet<string> = new Set(['create', 'export', 'import', 'rename', 'verify']);

/** A complete definition at API 20 whose dump is the plain image of the disk. */
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
 * Writes an OS definition `name` into `directory`, which can then be on a search path: a small complete one, except for `files`.
 * @returns the definition's directory
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
  // For any umask.
  return chmod(path, mode);
}
