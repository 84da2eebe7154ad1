import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** What third-party licenses ask for: each text once, with every package under it that has a module among `moduleIds`. */
export async function licensesOf(moduleIds: readonly string[]): Promise<string> {
  const directories = new Set(moduleIds.map(packageDirectory).filter((directory) => directory !== undefined));
  const licenses = await Promise.all([...directories].map(licenseOf));
  return [...Map.groupBy(licenses, ({ text }) => text)]
    .map(([text, packages]) => `${[...new Set(packages.map(({ title }) => title))].toSorted().join('\n')}\n\n${text}\n`)
    .toSorted()
    .join(`\n${'-'.repeat(80)}\n\n`);
}

/** The innermost package in `node_modules` that a module belongs to. */
function packageDirectory(id: string): string | undefined {
  return /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(id)?.[0];
}

async function licenseOf(directory: string): Promise<{ readonly title: string; readonly text: string }> {
  const manifest: unknown = JSON.parse(await readFile(join(directory, 'package.json'), 'utf8'));
  const title = ['name', 'version', 'license'].map((field) => fieldOf(manifest, field)).join(' ');
  const files = (await readdir(directory)).filter((entry) => /^(?:licen[cs]e|notice)(?:\.|$)/i.test(entry)).toSorted();
  const texts = await Promise.all(files.map((file) => readFile(join(directory, file), 'utf8')));
  return { title, text: texts.map((text) => text.trim()).join('\n\n') };
}

function fieldOf(manifest: unknown, name: string): string {
  const fields = typeof manifest === 'object' && manifest !== null ? new Map(Object.entries(manifest)) : new Map<string, unknown>();
  return String(fields.get(name) ?? `(no ${name})`);
}
