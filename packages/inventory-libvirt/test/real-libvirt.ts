import { mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { InstanceSource } from '@gantry/core/inventory';
import type { Libvirtd } from '@gantry/testkit';
import { connectionOf } from '../src/address.ts';
import { LibvirtSource } from '../src/source.ts';
import { Virsh } from '../src/virsh.ts';

/** A test's libvirtd as a source of instances, with its own directory of states: its `/var/lib/libvirt` is not that of the test. */
export function sourceOf(
  libvirtd: Libvirtd,
  { env = {}, warn = () => undefined, timeoutMs }: SourceOptions = {},
): InstanceSource & { readonly manager: LibvirtSource['manager'] } {
  const all = { ...process.env, LIBVIRT_DEFAULT_URI: libvirtd.uri, ...env };
  const virsh = new Virsh({ ...connectionOf(new URL('libvirt:'), all), env: all, timeoutMs });
  return new LibvirtSource('libvirt:', { virsh, stateDirectory: libvirtd.stateDirectory, warn });
}

export interface SourceOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly warn?: (message: string) => void;
  readonly timeoutMs?: number;
}

/** A raw disk of 1 MiB whose first line is `text`. @returns its path */
export async function makeDisk(file: string, text: string): Promise<string> {
  await using handle = await open(file, 'wx', 0o600);
  await handle.write(`${text}\n`);
  await handle.truncate(1024 * 1024);
  return file;
}

/** Defines a domain from XML; with `<domain>` for `<domain type='qemu'>`. */
export async function defineXml(libvirtd: Libvirtd, xml: string): Promise<void> {
  const file = join(libvirtd.directory, 'defined.xml');
  await writeFile(file, xml);
  await libvirtd.virsh('define', file);
}

/** A program of that name in a directory of its own, to be put in front of PATH. @returns the directory */
export async function wrapProgram(directory: string, name: string, script: string): Promise<string> {
  const path = join(directory, `wrapped-${name}`);
  await mkdir(path, { recursive: true });
  await writeFile(join(path, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return path;
}
