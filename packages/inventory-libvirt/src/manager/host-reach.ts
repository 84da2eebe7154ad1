import { posix } from 'node:path';
import { InventoryError } from '@gantry/core/inventory';
import type { Element } from '@xmldom/xmldom';
import { attribute, attributesOf, childrenOf, find, textOf } from '../xml.ts';

/*
 * The XML of a domain may come from a store or a peer, and libvirt does what it says, as root. What runs a program or writes files of this
 * host is refused. There is a warning for a domain that reaches into the host in another way.
 */

/** Each names a program, or a file that is written to. */
const HARMFUL = new Set(['bootloader', 'script', 'downscript', 'binary', 'pstore']);
/** Their other end is a file, a named pipe or a device of the host where their type says so. */
const CHANNELS = new Set(['serial', 'parallel', 'console', 'channel', 'smartcard', 'redirdev', 'backend', 'audio']);
const CHANNEL_FILES = new Set(['file', 'pipe', 'dev']);

const KNOWN = new Set(
  `name uuid genid title description metadata memory maxMemory currentMemory memoryBacking memtune numatune blkiotune cputune cpu vcpu vcpus
  iothreads iothreadids defaultiothread throttlegroups resource sysinfo os features clock on_poweroff on_reboot on_crash on_lockfailure pm perf
  devices seclabel keywrap launchSecurity`.split(/\s+/),
);
const KNOWN_DEVICES = new Set(
  `disk controller interface input graphics sound audio video memballoon rng tpm watchdog serial parallel console channel hub panic vsock iommu
  memory redirdev redirfilter`.split(/\s+/),
);
/** Whose text is a path, also a relative one. */
const PATH_ELEMENTS = new Set(['kernel', 'initrd', 'dtb', 'loader', 'table', 'path']);
const PATH_ATTRIBUTES = new Set(['file', 'path', 'dir', 'template', 'socket']);
/** Whose text is not a path. */
const TEXTS = new Set(['name', 'title', 'description', 'cmdline']);
const RANDOM_DEVICES = new Set(['/dev/random', '/dev/urandom', '/dev/hwrng']);

/** @throws InventoryError `failed` where a domain would run a program or write files on this host */
export function assertHarmless(domain: Element, name: string): void {
  const harmful = new Set(elementsOf(domain).filter(isHarmful).map(placeOf));
  if (harmful.size === 0) return;
  throw new InventoryError('failed', {
    message: `the domain ${name} could run programs or write files on this host: ${[...harmful].join(', ')}`,
    hint: 'If you trust where it comes from, define it yourself with its domain.xml and the disks: virsh define.',
  });
}

/**
 * Parts of a domain that reach into the host: who takes a domain over should have seen them.
 * @param own paths that were chosen here
 */
export function hostParts(domain: Element, own: ReadonlySet<string>): readonly string[] {
  const devices = find(domain, 'devices');
  const unknown = [
    ...childrenOf(domain).filter(({ nodeName }) => !KNOWN.has(nodeName)),
    ...childrenOf(devices).filter(({ nodeName }) => !KNOWN_DEVICES.has(nodeName)),
  ];
  const reaching = elementsOf(domain).filter((each) => reaches(each) || pathsOf(each).some((path) => !isOrdinary(path, own)));
  return [...new Set([...unknown, ...reaching].map(placeOf))];
}

/** A domain and all elements in it, but for the metadata, of which libvirt reads nothing. */
function elementsOf(domain: Element): readonly Element[] {
  const below = (element: Element): readonly Element[] => [element, ...childrenOf(element).flatMap(below)];
  return [domain, ...childrenOf(domain).flatMap((each) => (each.nodeName === 'metadata' ? [] : below(each)))];
}

function isHarmful(element: Element): boolean {
  const { nodeName } = element;
  const [type, path] = [attribute(element, 'type') ?? '', attribute(element, 'path')];
  if (isForeign(element) || HARMFUL.has(nodeName) || attribute(element, 'logFile') !== undefined) return true;
  if (CHANNELS.has(nodeName) && CHANNEL_FILES.has(type)) return true;
  if (nodeName === 'filesystem') return find(element, 'readonly') === undefined;
  if (nodeName === 'memory') return find(element, 'source', 'path') !== undefined;
  // A socket of a service of this host, or where the state of a TPM is kept.
  if (nodeName !== 'source' || path === undefined) return false;
  return attribute(element, 'mode') === 'connect' || element.parentNode?.nodeName === 'backend';
}

/** Of a namespace, such as `qemu:commandline`: of an attribute libvirt reads the name without it. */
function isForeign(element: Element): boolean {
  const names = attributesOf(element).map(({ name }) => name);
  return (element.namespaceURI ?? '') !== '' || names.some((name) => name.includes(':') && !name.startsWith('xmlns:'));
}

function reaches(element: Element): boolean {
  const type = attribute(element, 'type');
  if (element.nodeName === 'interface') return type === 'hostdev';
  if (element.nodeName !== 'seclabel') return false;
  return type !== 'dynamic' || attribute(element, 'relabel') === 'no' || attribute(element, 'model') === 'dac';
}

function pathsOf(element: Element): readonly string[] {
  const paths = attributesOf(element).flatMap(({ name, value }) => (value.startsWith('/') || PATH_ATTRIBUTES.has(name) ? [value] : []));
  const text = childrenOf(element).length === 0 && !TEXTS.has(element.nodeName) ? (textOf(element) ?? '') : '';
  return text.startsWith('/') || (text !== '' && PATH_ELEMENTS.has(element.nodeName)) ? [...paths, text] : paths;
}

/** Chosen here, of a package, or random. */
function isOrdinary(path: string, own: ReadonlySet<string>): boolean {
  return own.has(path) || posix.normalize(path).startsWith('/usr/share/') || RANDOM_DEVICES.has(path);
}

/** The device or element of the domain of which something is part. */
function placeOf(element: Element): string {
  const parent = element.parentElement;
  return parent === null || ['domain', 'devices', 'os'].includes(parent.nodeName) ? `<${element.nodeName}>` : placeOf(parent);
}
