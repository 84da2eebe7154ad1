import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, extname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { CallOptions, DefineRequest, Disk, InstanceManager, NativeFile, StopOptions } from '@gantry/core/inventory';
import { InventoryError, isInventoryError } from '@gantry/core/inventory';
import type { Element } from '@xmldom/xmldom';
import type { DescribeContext } from '../describe.ts';
import { XML_NAME } from '../describe.ts';
import type { Domain } from '../domains.ts';
import { findDomain, listDomains } from '../domains.ts';
import { instanceName } from '../instance-name.ts';
import { hasTpmState, nvramFile, reason } from '../state-files.ts';
import { find, parseDomain, serialize, setText, textOf } from '../xml.ts';
import type { NewDisk } from './new-domain.ts';
import { hostParts, removeHostParts, replaceDisks, replaceIdentity } from './new-domain.ts';
import type { StatePlan } from './place-state.ts';
import { assertFree, placeState, planState } from './place-state.ts';

/** Between two looks at a guest that shuts down, ms. */
const LOOK_MS = 500;
/** A guest that was starting has not heard of it: it is asked again after this time, ms. */
const ASK_AGAIN_MS = 10_000;

/** A domain that is to be defined. */
interface Plan {
  readonly name: string;
  readonly uuid: string;
  /** What in it reaches into this host. */
  readonly parts: readonly string[];
  readonly xml: string;
  readonly state: StatePlan;
}

/** Makes domains known to libvirt, starts, stops and forgets them. */
export class DomainManager implements InstanceManager {
  readonly #context: DescribeContext;

  constructor(context: DescribeContext) {
    this.#context = context;
  }

  async checkDefine(request: DefineRequest, options: CallOptions = {}): Promise<void> {
    // Whether it may change anything is known where it is asked on a connection that can.
    await this.#context.virsh.run(['list'], { ...options, writes: true });
    const { name, state, parts } = await this.#plan(request, options);
    await assertFree(state);
    if (parts.length > 0) this.#context.warn(`the domain ${name} reaches into this host: look at ${parts.join(', ')} in its XML`);
  }

  async define(request: DefineRequest, options: CallOptions = {}): Promise<string> {
    const { name, uuid, xml, state } = await this.#plan(request, options);
    const undo = await placeState(state);
    try {
      await this.#define(xml, options);
    } catch (error) {
      await this.#takeBack(uuid);
      await undo();
      throw error;
    }
    return name;
  }

  async start(name: string, options: CallOptions = {}): Promise<void> {
    const { uuid, isActive } = await this.#find(name, options);
    if (!isActive) await this.#change(['start', uuid], options);
  }

  async stop(name: string, { signal, timeoutMs }: StopOptions): Promise<void> {
    const { uuid } = await this.#find(name, { signal });
    const end = performance.now() + timeoutMs;
    let asked = Number.NEGATIVE_INFINITY;
    for (;;) {
      const state = await this.#state(uuid, { signal });
      if (state === 'shut off') return;
      if (state === 'paused' || state === 'pmsuspended')
        throw failed(
          `${name} is ${state}, and cannot shut down`,
          `Let it go on: virsh ${state === 'paused' ? 'resume' : 'dompmwakeup'} ${uuid}`,
        );
      const now = performance.now();
      if (now >= end) throw failed(`${name} still runs after ${timeoutMs / 1000} s`, 'Shut it down from inside, or give it more time.');
      if (now - asked >= ASK_AGAIN_MS) {
        asked = now;
        await this.#shutDown(uuid, signal);
      }
      await delay(Math.min(LOOK_MS, end - now), undefined, signal === undefined ? {} : { signal }).catch(() => signal?.throwIfAborted());
    }
  }

  async undefine(name: string, options: CallOptions = {}): Promise<void> {
    const { uuid, isActive, configured } = await this.#find(name, options);
    if (isActive) throw failed(`${name} runs`, 'Stop it first.');
    const keep = [
      ...(find(configured, 'os', 'nvram') === undefined ? [] : ['--keep-nvram']),
      ...(hasTpmState(configured) ? ['--keep-tpm'] : []),
    ];
    await this.#change(['undefine', uuid, '--checkpoints-metadata', ...keep], options);
  }

  async #find(name: string, options: CallOptions): Promise<Domain> {
    return await findDomain(this.#context.virsh, name, options);
  }

  async #change(command: readonly string[], options: CallOptions): Promise<void> {
    await this.#context.virsh.run(command, { ...options, writes: true });
  }

  /** As `virsh domstate` says it; `shut off` for a domain that is gone: libvirt forgets those that were never defined. */
  async #state(uuid: string, options: CallOptions): Promise<string> {
    try {
      return (await this.#context.virsh.run(['domstate', uuid], options)).trim();
    } catch (error) {
      if (isInventoryError(error, 'not-found')) return 'shut off';
      throw error;
    }
  }

  async #shutDown(uuid: string, signal: AbortSignal | undefined): Promise<void> {
    try {
      await this.#change(['shutdown', uuid], { signal });
    } catch (error) {
      // It may have stopped by itself just now.
      if ((await this.#state(uuid, { signal })) !== 'shut off') throw error;
    }
  }

  async #define(xml: string, options: CallOptions): Promise<void> {
    const directory = await mkdtemp(join(tmpdir(), 'gantry-libvirt-'));
    try {
      const file = join(directory, XML_NAME);
      await writeFile(file, xml, { mode: 0o600 });
      await this.#change(['define', file], options);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }

  /** Forgets a domain that libvirt may have taken although the call failed: it was cancelled, or the answer came too late. */
  async #takeBack(uuid: string): Promise<void> {
    const listed = await listDomains(this.#context.virsh, {}).catch(() => []);
    if (listed.some((each) => each.uuid === uuid)) await this.#change(['undefine', uuid, '--keep-nvram'], {}).catch(() => undefined);
  }

  async #plan({ instance, native, newIdentity }: DefineRequest, options: CallOptions): Promise<Plan> {
    const { virsh, stateDirectory } = this.#context;
    if (!virsh.isLocal) throw failed('the disks are on this host, and libvirt is on another one', 'Run Gantry there.');
    const domain = parseDomain(xmlOf(native), 'the export');
    const [oldName, oldUuid] = [find(domain, 'name')?.textContent ?? '', textOf(find(domain, 'uuid')) ?? ''];
    // What Gantry calls it may be another name than libvirt's, which it keeps.
    const name = instanceName(oldName, oldUuid) === instance.name ? oldName : instance.name;
    const uuid = newIdentity || oldUuid === '' ? randomUUID() : oldUuid;
    await this.#assertFree(name, uuid, options);
    removeHostParts(domain);
    setText(domain, 'name', name);
    if (newIdentity) replaceIdentity(domain, uuid);
    else setText(domain, 'uuid', uuid);
    replaceDisks(domain, await Promise.all(instance.disks.map(newDisk)));
    if (name !== oldName || newIdentity) renameNvram(domain, newIdentity ? `${name}-${uuid.slice(0, 8)}` : name);
    const state = planState(native, { nvram: nvramFile(domain), hasTpm: hasTpmState(domain), uuid, stateDirectory });
    return { name: instanceName(name, uuid), uuid, parts: hostParts(domain), xml: serialize(domain), state };
  }

  /** libvirt would replace the description of a domain that has both name and UUID. */
  async #assertFree(name: string, uuid: string, options: CallOptions): Promise<void> {
    const other = (await listDomains(this.#context.virsh, options)).find((each) => each.name === name.trim() || each.uuid === uuid);
    if (other === undefined) return;
    const what = other.uuid === uuid ? `the UUID ${uuid}` : `the name ${JSON.stringify(name)}`;
    throw new InventoryError('exists', {
      message: `libvirt has a domain with ${what} already: ${other.name} (${other.uuid})`,
      hint: `Give the instance another name and identity, or remove the other one: virsh undefine ${other.uuid}`,
    });
  }
}

function xmlOf(native: readonly NativeFile[]): string {
  const file = native.find(({ name }) => name === XML_NAME);
  if (file !== undefined) return new TextDecoder().decode(file.bytes);
  throw failed(
    `there is no ${XML_NAME} of the original: it was not described by libvirt`,
    'Define the domain yourself, with the disks that were written: virt-install --import.',
  );
}

async function newDisk(disk: Disk): Promise<NewDisk> {
  const { path } = disk;
  if (path === undefined) return { disk, isBlockDevice: false };
  try {
    return { disk, isBlockDevice: (await stat(path)).isBlockDevice() };
  } catch (error) {
    throw new InventoryError('failed', { message: `cannot look at the disk ${path}: ${reason(error)}`, cause: error });
  }
}

/** A domain of another name or UUID gets a file of its own for the variables of its firmware, beside that of the original. */
function renameNvram(domain: Element, name: string): void {
  const path = nvramFile(domain);
  if (path === undefined) return;
  const renamed = join(dirname(path), `${instanceFileName(name)}_VARS${extname(path) || '.fd'}`);
  const [nvram, source] = [find(domain, 'os', 'nvram'), find(domain, 'os', 'nvram', 'source')];
  if (source !== undefined) source.setAttribute('file', renamed);
  else if (nvram !== undefined) nvram.textContent = renamed;
}

function instanceFileName(name: string): string {
  return basename(name).replaceAll(/[^0-9A-Za-z._-]/g, '_');
}

function failed(message: string, hint: string): InventoryError {
  return new InventoryError('failed', { message, hint });
}
