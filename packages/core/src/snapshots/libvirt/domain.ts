import type { Element } from '@xmldom/xmldom';

import { errorText } from '../../report/error-text.ts';
import type { Virsh, VirshCall } from './virsh.ts';

/** A disk of a domain that runs. */
export interface DomainDisk {
  /** Such as `vda`. */
  readonly target: string;
  /** Libvirt's name of the device, in a guest that runs. */
  readonly alias: string | undefined;
  /** `disk`, `cdrom`, `floppy` or `lun`. */
  readonly device: string;
  /** Of its source: `file`, `block`, `network`, `volume`, … */
  readonly type: string;
  /** Path of a file or block device. */
  readonly path: string | undefined;
  /** What its source says of where it is, also on the network: `file=/srv/vm/web1.qcow2`. */
  readonly source: string;
  /** Such as `raw` or `qcow2`. */
  readonly format: string;
  /** Whether QEMU decrypts it. */
  readonly encrypted: boolean;
  /** What happens when a write fails, where the domain says. */
  readonly errorPolicy: string | undefined;
  /** Whether its changes are thrown away when the guest ends. */
  readonly transient: boolean;
  /** Bytes that the guest sees. */
  readonly capacity: number | undefined;
  /** Bytes that it takes where it is kept. */
  readonly physical: number | undefined;
}

export interface DomainState {
  /** As `virsh domstate` says it, such as `running` or `shut off`. */
  readonly state: string;
  readonly reason: string;
}

export interface Domain extends DomainState {
  /** Of this run of the domain. */
  readonly id: string;
  readonly disks: readonly DomainDisk[];
  readonly hasIoThreads: boolean;
  /** As whom its QEMU opens files, where libvirt says so. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  /** What libvirt does with it at the moment, such as `Backup`. */
  readonly job: string | undefined;
}

/** What `--reason` adds, in parentheses. */
const STATE = /^(?<state>[^(]*?)(?: \((?<reason>.*)\))?$/s;

/** @throws Error where there is no such domain; what {@link Virsh.run} throws */
export async function domainState(virsh: Virsh, uuid: string, call: VirshCall): Promise<DomainState> {
  const { state = '', reason = '' } = STATE.exec((await virsh.run(['domstate', uuid, '--reason'], call)).trim())?.groups ?? {};
  return { state, reason };
}

/** What libvirt does with a domain at the moment. @throws Error where the domain does not run; what {@link Virsh.run} throws */
export async function domainJob(virsh: Virsh, uuid: string, call: VirshCall): Promise<string | undefined> {
  const info = await virsh.run(['domjobinfo', uuid], call).catch((error: unknown) => {
    // Of a backup that is only beginning, libvirt says nothing else.
    if (errorText(error).includes('backup job data missing')) return 'Operation: Backup';
    throw error;
  });
  if (/^Job type: +None/m.test(info)) return undefined;
  return /^Operation: +(\S.*?) *$/m.exec(info)?.[1] ?? 'of an unknown kind';
}

/** @throws Error where there is no such domain; what {@link Virsh.run} throws */
export async function lookAtDomain(virsh: Virsh, uuid: string, call: VirshCall): Promise<Domain> {
  const state = await domainState(virsh, uuid, call);
  const [xml, stats, job] = await Promise.all([
    virsh.run(['dumpxml', uuid], call),
    virsh.run(['domstats', '--block', uuid], call),
    ['running', 'paused'].includes(state.state) ? domainJob(virsh, uuid, call) : undefined,
  ]);
  return { ...state, ...(await readDomain(xml, blockSizes(stats))), job };
}

/** The disks of a domain that need not run, without their sizes. @throws Error where there is no such domain */
export async function domainDisks(virsh: Virsh, uuid: string, call: VirshCall): Promise<readonly DomainDisk[]> {
  return (await readDomain(await virsh.run(['dumpxml', uuid], call), new Map())).disks;
}

type BlockSizes = ReadonlyMap<string, Pick<DomainDisk, 'capacity' | 'physical'>>;

/** By target. `virsh domstats` says `block.0.name=vda` and so on. */
function blockSizes(stats: string): BlockSizes {
  const fields = new Map([...stats.matchAll(/^ *(block\.\d+\.\w+)=(.*)$/gm)].map(([, name = '', value = '']) => [name, value]));
  const bytes = (name: string): number | undefined => {
    const value = /^\d{1,16}$/.test(fields.get(name) ?? '') ? Number(fields.get(name)) : Number.NaN;
    return Number.isSafeInteger(value) ? value : undefined;
  };
  // Not by the count of blocks that is there too: it may be any number.
  return new Map(
    [...fields].flatMap(([field, target]) => {
      const at = /^block\.\d+(?=\.name$)/.exec(field)?.[0];
      return at === undefined ? [] : [[target, { capacity: bytes(`${at}.capacity`), physical: bytes(`${at}.physical`) }]];
    }),
  );
}

async function readDomain(xml: string, sizes: BlockSizes): Promise<Omit<Domain, 'state' | 'reason' | 'job'>> {
  // Loaded only where a guest of libvirt is looked at.
  const { DOMParser } = await import('@xmldom/xmldom');
  // By default, the parser would write to the terminal, and go on.
  const onError = (level: string, message: string): void => {
    if (level !== 'warning') throw new Error(message);
  };
  const domain = parseXml(() => new DOMParser({ onError }).parseFromString(xml, 'text/xml').documentElement);
  if (domain?.tagName !== 'domain') throw new Error('libvirt describes the domain in an unknown way');
  const disks = childrenOf(childOf(domain, 'devices'), 'disk').map((disk) => readDisk(disk, sizes));
  const drivers = ['iothreads', 'iothreadids'].some((name) => childOf(domain, name) !== undefined);
  return { id: domain.getAttribute('id') ?? '', disks, hasIoThreads: drivers, owner: readOwner(domain) };
}

/** The parser repeats names of elements, characters. */
const MAX_REASON_LENGTH = 200;

function parseXml<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    const [why = ''] = errorText(error).split('\n');
    throw new Error(`libvirt describes the domain in XML that cannot be read: ${why.slice(0, MAX_REASON_LENGTH)}`, { cause: error });
  }
}

function readDisk(disk: Element, sizes: BlockSizes): DomainDisk {
  const [source, driver] = [childOf(disk, 'source'), childOf(disk, 'driver')];
  const target = childOf(disk, 'target')?.getAttribute('dev') ?? '';
  return {
    target,
    alias: childOf(disk, 'alias')?.getAttribute('name') ?? undefined,
    device: disk.getAttribute('device') ?? 'disk',
    type: disk.getAttribute('type') ?? '',
    path: source?.getAttribute('file') ?? source?.getAttribute('dev') ?? undefined,
    source: describeSource(source),
    format: driver?.getAttribute('type') ?? 'raw',
    errorPolicy: driver?.getAttribute('error_policy') ?? undefined,
    encrypted: [disk, source].some((at) => at !== undefined && childOf(at, 'encryption') !== undefined),
    transient: childOf(disk, 'transient') !== undefined,
    capacity: sizes.get(target)?.capacity,
    physical: sizes.get(target)?.physical,
  };
}

/** libvirt counts sources in the `index` of each start. */
function describeSource(source: Element | undefined): string {
  const attributes = [...(source?.attributes ?? [])].filter(({ name }) => name !== 'index');
  return attributes.map(({ name, value }) => `${name}=${value}`).join(' ');
}

/** `+UID:+GID`: what libvirt's driver DAC has set. */
function readOwner(domain: Element): Domain['owner'] {
  const label = childrenOf(domain, 'seclabel').find((each) => each.getAttribute('model') === 'dac');
  const [, uid, gid] = /^\+?(\d+):\+?(\d+)$/.exec(label === undefined ? '' : (childOf(label, 'label')?.textContent ?? '').trim()) ?? [];
  return uid === undefined || gid === undefined ? undefined : { uid: Number(uid), gid: Number(gid) };
}

function childrenOf(parent: Element | undefined, name: string): readonly Element[] {
  return [...(parent?.childNodes ?? [])].filter((node): node is Element => node.nodeName === name);
}

function childOf(parent: Element, name: string): Element | undefined {
  return childrenOf(parent, name)[0];
}
