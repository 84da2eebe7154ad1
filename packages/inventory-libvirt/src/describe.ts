import { hostname } from 'node:os';
import type { CallOptions, InstanceDescription, InstanceFields, InstanceSummary, NativeFile, RunState } from '@gantry/core/inventory';
import { InventoryError, isHostName, MAX_NATIVE_BYTES } from '@gantry/core/inventory';
import type { Domain } from './domains.ts';
import { diskCount, memoryMiB, volumePaths } from './domains.ts';
import { instanceName } from './instance-name.ts';
import { readMetadata } from './metadata.ts';
import type { DomainDisk } from './read-disks.ts';
import { diskElements, guardedPlaces, readDisk } from './read-disks.ts';
import { readNics } from './read-nics.ts';
import { readStateFiles } from './state-files.ts';
import type { Virsh } from './virsh.ts';
import { attribute, find, textOf } from './xml.ts';

export const XML_NAME = 'domain.xml';

export interface DescribeContext {
  readonly virsh: Virsh;
  readonly stateDirectory: string;
  readonly warn: (message: string) => void;
}

/** The name of the host on which the guests of a connection run. */
export async function nodeName(virsh: Virsh, options: CallOptions): Promise<string> {
  return virsh.isLocal ? hostname() : (await virsh.run(['hostname'], options)).trim();
}

function runState({ isActive }: Domain, node: string): RunState {
  return isActive ? { state: 'running', node } : { state: 'stopped' };
}

export function summarize(domain: Domain, node: string): InstanceSummary {
  const { os, tags } = readMetadata(domain.configured);
  return {
    name: instanceName(domain.name, domain.uuid),
    run: runState(domain, node),
    os,
    hypervisor: hypervisorOf(domain),
    disks: diskCount(domain),
    tags,
  };
}

/** @throws InventoryError `failed` where a disk cannot be described; what virsh fails with */
export async function describeDomain(domain: Domain, context: DescribeContext, options: CallOptions): Promise<InstanceDescription> {
  const { virsh } = context;
  const [node, volumes] = [await nodeName(virsh, options), await volumePaths(virsh, domain, options)];
  const disks = diskElements(domain.now).map((disk) => readDisk(disk, volumes));
  assertDescribed(disks);
  const targets = disks.map(({ target }) => target);
  return {
    instance: { ...fieldsOf(domain, node), disks: disks.map(({ disk }) => disk), nics: readNics(domain.now) },
    run: runState(domain, node),
    guarded: [...new Set([domain.now, domain.configured].flatMap((xml) => guardedPlaces(xml, volumes)))],
    native: await nativeFiles(domain, context),
    ...(domain.isActive && virsh.isLocal ? { guest: { kind: 'libvirt', uri: virsh.uri, uuid: domain.uuid, targets } } : {}),
  };
}

function assertDescribed(disks: readonly DomainDisk[]): void {
  const problem = disks.find((disk) => disk.problem !== undefined)?.problem;
  if (problem === undefined) return;
  const hint = 'Describe the instance in a file instead: gantry schema prints what may stand in it.';
  throw new InventoryError('failed', { message: problem, hint });
}

function fieldsOf(domain: Domain, node: string): InstanceFields {
  const { os, tags, osparams } = readMetadata(domain.configured);
  const memory = memoryMiB(find(domain.now, 'memory'));
  const current = memoryMiB(find(domain.now, 'currentMemory')) ?? memory;
  const cpus = textOf(find(domain.now, 'vcpu'));
  return {
    name: instanceName(domain.name, domain.uuid),
    uuid: domain.uuid,
    os,
    hypervisor: hypervisorOf(domain),
    ...(isHostName(node) ? { primary_node: node } : {}),
    tags,
    osparams,
    beparams: {
      ...(memory === undefined ? {} : { maxmem: String(memory) }),
      ...(current === undefined ? {} : { minmem: String(current) }),
      ...(cpus === undefined ? {} : { vcpus: cpus }),
    },
  };
}

/** Such as `kvm` or `qemu`. */
function hypervisorOf({ now }: Domain): string {
  return attribute(now, 'type') ?? 'unknown';
}

async function nativeFiles(domain: Domain, { virsh, stateDirectory, warn }: DescribeContext): Promise<readonly NativeFile[]> {
  const xml = { name: XML_NAME, secret: false, bytes: new TextEncoder().encode(domain.xml) };
  if (!virsh.isLocal) return [xml];
  const bytes = MAX_NATIVE_BYTES - xml.bytes.length;
  return [xml, ...(await readStateFiles({ domain: domain.configured, uuid: domain.uuid, stateDirectory, bytes, warn }))];
}
