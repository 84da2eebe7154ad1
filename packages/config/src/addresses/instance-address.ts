import { basename, dirname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { GantryError } from '@gantry/core';
import { showValue } from '@gantry/core/documents';
import { trimSlashes } from '@gantry/transport';
import type { AddressKind } from './address.ts';
import { parseUrl } from './address.ts';

/** An instance: where it is described, and its name there. */
export interface InstanceAddress {
  readonly source: URL;
  readonly name: string;
}

const INSTANCE: AddressKind = {
  code: 'INVENTORY_ADDRESS',
  what: 'instance',
  hint: 'Give an instance file, or SCHEME:NAME such as ganeti:web1.example.com.',
};
const SOURCE: AddressKind = {
  code: 'INVENTORY_ADDRESS',
  what: 'source',
  hint: 'Give a directory of instance files, or SCHEME: such as ganeti:.',
};

/** `scheme:NAME`, with no slash before the colon. One letter is not a scheme but a drive of other systems. */
const SHORT_FORM = /^([a-z][a-z0-9+.-]+):(.*)$/is;

/** Addresses of sources by names, which may stand where a scheme does: `cluster:web1`. */
export type InventoryNames = ReadonlyMap<string, string>;

const NAME_FORM = /^([a-z][a-z0-9_-]*):(?!\/\/)(.*)$/is;

/** Whether an address begins with a word that is a scheme, or the name of an inventory. */
export function startsWithName(address: string): boolean {
  return NAME_FORM.test(address);
}

/** @returns the address that a name stands for, and what follows the name */
function splitName(text: string, names: InventoryNames | undefined): { readonly source: string; readonly rest: string } | undefined {
  const [, name = '', rest = ''] = NAME_FORM.exec(text) ?? [];
  const source = names?.get(name);
  return source === undefined ? undefined : { source, rest };
}

/**
 * Reads how the user named an instance: an instance file by its path (relative to `cwd`) or `file:` URL, `scheme:NAME` or
 * `scheme://host/NAME`, or the name of an inventory and `:NAME`.
 *
 * @throws GantryError `INVENTORY_ADDRESS`
 */
export function parseInstanceAddress(text: string, cwd: string, inventories?: InventoryNames): InstanceAddress {
  const url = parseUrl(text, INSTANCE);
  if (url !== undefined) return splitUrl(url, text);
  const named = splitName(text, inventories);
  if (named !== undefined) {
    if (named.rest === '') throw sourceAlone(text);
    return { source: parseSourceAddress(named.source, cwd), name: named.rest };
  }
  const [, scheme, name = ''] = SHORT_FORM.exec(text) ?? [];
  if (scheme === undefined) return splitPath(resolve(cwd, text));
  assertNotFileScheme(scheme, name);
  if (name === '') throw sourceAlone(text);
  return { source: schemeAlone(scheme, text), name };
}

/**
 * Reads how the user named a source of instances: a directory of instance files, `scheme:` or `scheme://host`, or the name of an
 * inventory, with or without a colon.
 *
 * @throws GantryError `INVENTORY_ADDRESS`
 */
export function parseSourceAddress(text: string, cwd: string, inventories?: InventoryNames): URL {
  const url = parseUrl(text, SOURCE);
  if (url !== undefined) return url.protocol === 'file:' ? url : withPath(url, url.pathname);
  const named = splitName(text.includes(':') ? text : `${text}:`, inventories);
  if (named?.rest === '') return parseSourceAddress(named.source, cwd);
  const [, scheme, name = ''] = SHORT_FORM.exec(text) ?? [];
  if (scheme === undefined) return pathToFileURL(resolve(cwd, text));
  assertNotFileScheme(scheme, name);
  if (name === '') return schemeAlone(scheme, text);
  throw new GantryError('INVENTORY_ADDRESS', {
    message: `${showValue(text)} names an instance, not a source of instances`,
    hint: `To list it alone: gantry instances ${scheme}: ${name} (for a directory of that name: ./${text}).`,
  });
}

function splitUrl(url: URL, text: string): InstanceAddress {
  const start = url.pathname.lastIndexOf('/') + 1;
  const [parent, name] = [url.pathname.slice(0, start), decode(url.pathname.slice(start))];
  if (name === '') throw sourceAlone(text);
  return { source: url.protocol === 'file:' ? new URL(parent, url) : withPath(url, parent), name };
}

function splitPath(path: string): InstanceAddress {
  return { source: pathToFileURL(dirname(path)), name: basename(path) };
}

/** The address of a source, whose path does not end in a slash, and which has no authority where it has no host and no path. */
function withPath(url: URL, path: string): URL {
  const trimmed = trimSlashes(path);
  if (url.host === '' && trimmed === '') return new URL(`${url.protocol}${url.search}`);
  const source = new URL(url);
  source.pathname = trimmed;
  return source;
}

/** `https:` and some others cannot stand alone. */
function schemeAlone(scheme: string, text: string): URL {
  const url = URL.parse(`${scheme}:`);
  if (url !== null) return url;
  throw new GantryError('INVENTORY_ADDRESS', {
    message: `${showValue(text)} is neither a URL nor a plain path`,
    hint: `For a file of this machine: ./${text}`,
  });
}

/** A file has a path: `file:web1.yaml` would be something else in each of the programs that know such URLs. */
function assertNotFileScheme(scheme: string, name: string): void {
  if (scheme.toLowerCase() !== 'file') return;
  throw new GantryError('INVENTORY_ADDRESS', {
    message: `${showValue(`file:${name}`)} is neither a URL nor a plain path`,
    hint: `For a file of this machine: ./${name}`,
  });
}

function sourceAlone(text: string): GantryError {
  return new GantryError('INVENTORY_ADDRESS', {
    message: `${showValue(text)} names a source of instances, not an instance`,
    hint: `Put the name of an instance behind it; gantry instances ${text} lists them.`,
  });
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
