import { readFile } from 'node:fs/promises';

/** What is read of the `package.json` of a package. */
export interface PackageManifest {
  readonly name: string;
  readonly version: string;
  readonly license?: string;
  readonly type?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

export async function readManifest(path: string): Promise<PackageManifest> {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- pnpm has read it before
  return JSON.parse(await readFile(path, 'utf8')) as PackageManifest;
}
