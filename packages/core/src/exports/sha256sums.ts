import { GantryError } from '../report/errors.ts';
import { isDumpName, CONFIG_FILE, FRAMES_FILE, SEALED_PART_FILE } from './layout.ts';
import { isPackPath } from './packs.ts';

/** One line: a file beside `SHA256SUMS`, or a pack of another export by its path from there, and its digest in lower-case hexadecimal. */
export interface FileSum {
  readonly name: string;
  readonly sha256: string;
}

/** As `sha256sum` writes it and `sha256sum -c` reads it (GNU coreutils manual, "md5sum invocation"): two spaces for text mode. */
export function renderSha256Sums(sums: readonly FileSum[]): string {
  return sums.map(({ name, sha256 }) => `${sha256}  ${name}\n`).join('');
}

/**
 * Reads what {@link renderSha256Sums} and `sha256sum` write: text (`  `) and binary (` *`) lines.
 *
 * @throws GantryError `MANIFEST_DAMAGED` for an invalid line, a name that is not a plain file name, and a duplicate name
 */
export function parseSha256Sums(text: string, source: string): FileSum[] {
  const seen = new Set<string>();
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines.map((line, index) => {
    const [, sha256, name] = /^([0-9a-fA-F]{64}) [ *](.+)$/.exec(line) ?? [];
    if (sha256 === undefined || name === undefined) throw damaged(source, index, 'is not a digest and a file name');
    if (!isDumpName(name) && name !== CONFIG_FILE && name !== FRAMES_FILE && name !== SEALED_PART_FILE && !isPackPath(name))
      throw damaged(source, index, 'does not name a file of an export');
    if (seen.has(name)) throw damaged(source, index, `repeats ${name}`);
    seen.add(name);
    return { name, sha256: sha256.toLowerCase() };
  });
}

function damaged(source: string, index: number, what: string): GantryError {
  return new GantryError('MANIFEST_DAMAGED', {
    message: `${source} is damaged: line ${index + 1} ${what}`,
    hint: 'The manifest has the same digests: gantry verify uses it.',
  });
}
