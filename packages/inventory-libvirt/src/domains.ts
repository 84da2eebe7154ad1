import type { CallOptions } from '@gantry/core/inventory';
import { InventoryError } from '@gantry/core/inventory';
import type { Element } from '@xmldom/xmldom';
import { instanceName } from './instance-name.ts';
import { diskElements, volumeKey } from './read-disks.ts';
import type { Virsh } from './virsh.ts';
import { attribute, childrenOf, find, parseDomain, textOf } from './xml.ts';

/** A domain as libvirt lists it. Its name may have lost white space at its ends. */
export interface ListedDomain {
  readonly uuid: string;
  readonly name: string;
}

/** A domain as libvirt describes it. */
export interface Domain {
  /** libvirt's own name for it. */
  readonly name: string;
  readonly uuid: string;
  /** What is true now: of the guest that runs, or of what would run. */
  readonly now: Element;
  /** What would run at the next start. */
  readonly configured: Element;
  /** The XML of `configured`, without passwords, as libvirt wrote it. */
  readonly xml: string;
  /** Whether it has a guest now: one that runs, or is paused. */
  readonly isActive: boolean;
}

/** Domains that one connection is asked for. */
const BATCH = 32;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Whether a text is a UUID as libvirt writes it. */
export function isUuid(text: string): boolean {
  return UUID.test(text);
}

/** Every domain, running or not. */
export async function listDomains(virsh: Virsh, options: CallOptions): Promise<readonly ListedDomain[]> {
  const output = await virsh.run(['list', '--all', '--uuid', '--name'], options);
  return output.split('\n').flatMap((line) => {
    const uuid = line.slice(0, 36);
    return isUuid(uuid) ? [{ uuid, name: line.slice(37).trim() }] : [];
  });
}

/**
 * Describes domains, a batch at a time. One that is gone meanwhile is left out.
 *
 * @param unreadable called with why, for one that is there and cannot be described
 */
export async function* readDomains(
  virsh: Virsh,
  uuids: readonly string[],
  unreadable: (error: InventoryError) => void,
  options: CallOptions,
): AsyncGenerator<Domain> {
  for (let at = 0; at < uuids.length; at += BATCH) {
    const batch = uuids.slice(at, at + BATCH);
    const commands = batch.flatMap((uuid) => [`dumpxml ${uuid}`, `dumpxml --inactive ${uuid}`]);
    const answers = await virsh.runAll(commands, options);
    for (const [index, uuid] of batch.entries()) {
      const [now = '', configured = ''] = answers.slice(2 * index, 2 * index + 2);
      const isComplete = now.trim() !== '' && configured.trim() !== '';
      const domain = isComplete ? readDomain(uuid, now, configured) : await readAlone(virsh, uuid, unreadable, options);
      if (domain !== undefined) yield domain;
    }
  }
}

/** Asks again for a domain without an answer, because a batch does not say why. @returns undefined if it is gone, or cannot be described */
async function readAlone(
  virsh: Virsh,
  uuid: string,
  unreadable: (error: InventoryError) => void,
  options: CallOptions,
): Promise<Domain | undefined> {
  try {
    const now = await virsh.run(['dumpxml', uuid], options);
    return readDomain(uuid, now, await virsh.run(['dumpxml', '--inactive', uuid], options));
  } catch (error) {
    options.signal?.throwIfAborted();
    if (!(error instanceof InventoryError)) throw error;
    if (error.code !== 'not-found') unreadable(ofDomain(uuid, error));
    return undefined;
  }
}

function ofDomain(uuid: string, { code, message, hint, details, cause }: InventoryError): InventoryError {
  return new InventoryError(code, { message: `cannot describe the domain ${uuid}: ${message}`, hint, details, cause });
}

function readDomain(uuid: string, now: string, xml: string): Domain {
  const [running, configured] = [parseDomain(now, uuid), parseDomain(xml, uuid)];
  const name = find(configured, 'name')?.textContent ?? '';
  if (name === '') throw new InventoryError('failed', { message: `the XML of ${uuid} has no name` });
  return { name, uuid, now: running, configured, xml, isActive: attribute(running, 'id') !== undefined };
}

/**
 * The domain that a user means: by what Gantry calls it, by libvirt's name, or by its UUID. The text goes into no command.
 * @throws InventoryError `not-found`, `ambiguous`
 */
export async function findDomain(virsh: Virsh, text: string, options: CallOptions): Promise<Domain> {
  const listed = await listDomains(virsh, options);
  const isMeant = ({ name, uuid }: ListedDomain): boolean =>
    name.trim() === text.trim() || instanceName(name, uuid) === text || uuid === text.toLowerCase();
  const uuids = listed.filter(isMeant).map(({ uuid }) => uuid);
  const refuse = (error: InventoryError): never => {
    throw error;
  };
  const found = await Array.fromAsync(readDomains(virsh, uuids, refuse, options));
  // The list may have lost white space.
  const meant = found.filter(({ name, uuid }) => name === text || instanceName(name, uuid) === text || uuid === text.toLowerCase());
  const [first, ...others] = meant;
  if (first === undefined) throw notFound(text);
  if (others.length === 0) return first;
  throw new InventoryError('ambiguous', {
    message: `${JSON.stringify(text)} means ${meant.length} domains`,
    details: meant.map(({ name, uuid }) => `${uuid} ${name}`),
    hint: 'Give the UUID.',
  });
}

function notFound(text: string): InventoryError {
  const shown = text.length > 100 ? `${text.slice(0, 100)}…` : text;
  return new InventoryError('not-found', {
    message: `libvirt has no domain ${JSON.stringify(shown)}`,
    hint: 'virsh list --all shows the domains; gantry instances libvirt: shows what Gantry calls them.',
  });
}

/** The paths of the volumes that a domain's disks name. A volume that libvirt does not find is left out: then its disk has no path. */
export async function volumePaths(virsh: Virsh, domain: Domain, options: CallOptions): Promise<ReadonlyMap<string, string>> {
  const paths = new Map<string, string>();
  for (const source of [domain.now, domain.configured].flatMap(volumeSources)) {
    const [key, pool, volume] = [volumeKey(source), attribute(source, 'pool'), attribute(source, 'volume')];
    if (key === undefined || paths.has(key)) continue;
    try {
      paths.set(key, (await virsh.run(['vol-path', `--pool=${pool}`, `--vol=${volume}`], options)).trim());
    } catch (error) {
      options.signal?.throwIfAborted();
      if (!(error instanceof InventoryError) || error.code !== 'failed') throw error;
    }
  }
  return paths;
}

function volumeSources(domain: Element): readonly Element[] {
  return childrenOf(find(domain, 'devices'), 'disk').flatMap((disk) => childrenOf(disk, 'source').filter((source) => volumeKey(source)));
}

export function diskCount({ now }: Domain): number {
  return diskElements(now).length;
}

/** MiB of memory, from an element such as `<memory unit='KiB'>`: that is the unit in which libvirt writes it. */
export function memoryMiB(element: Element | undefined): number | undefined {
  const value = Number(textOf(element));
  if (!Number.isFinite(value) || (attribute(element, 'unit') ?? 'KiB') !== 'KiB') return undefined;
  return Math.ceil(value / 1024);
}
