import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { CallOptions, DefineRequest, Disk, InstanceManager, NativeFile, StopOptions, UndefineOptions } from '@gantry/core/inventory';
import { errorText, InventoryError, isInventoryError } from '@gantry/core/inventory';
import type { DescribeContext } from '../describe.ts';
import { XML_NAME } from '../describe.ts';
import type { Domain } from '../domains.ts';
import { findDomain, isUuid, listDomains } from '../domains.ts';
import { instanceName } from '../instance-name.ts';
import { hasTpmState, nvramFile, nvramPlace } from '../state-files.ts';
import { find, parseDomain, serialize, setText, textOf } from '../xml.ts';
import { assertHarmless, hostParts } from './host-reach.ts';
import type { NewDisk } from './new-domain.ts';
import { keepConsolesHere, placeNvram, removeHostParts, replaceDisks, replaceIdentity, setUuid } from './new-domain.ts';
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
  /** What who defines it should know. */
  readonly warnings: readonly string[];
  readonly xml: string;
  readonly state: StatePlan;
}

/** Makes domains known to libvirt, starts, stops and forgets them. */
export class DomainManager implements InstanceManager {
  readonly #context: DescribeContext;
  /** Removes the state that was put in place for a domain, by UUID: until its definition is final. */
  readonly #undo = new Map<string, () => Promise<void>>();

  constructor(context: DescribeContext) {
    this.#context = context;
  }

  async checkDefine(request: DefineRequest, options: CallOptions = {}): Promise<void> {
    // Whether it may change anything is known where it is asked on a connection that can.
    await this.#context.virsh.run(['list'], { ...options, writes: true });
    const { state, warnings } = await this.#plan(request, options);
    await assertFree(state);
    for (const warning of warnings) this.#context.warn(warning);
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
    this.#undo.set(uuid, undo);
    return name;
  }

  async start(name: string, options: CallOptions = {}): Promise<void> {
    const { uuid, isActive } = await this.#find(name, options);
    // From now on what it has is its own.
    this.#undo.delete(uuid);
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

  async undefine(name: string, { takesBack = false, ...options }: UndefineOptions = {}): Promise<void> {
    const { uuid, isActive, configured } = await this.#find(name, options);
    if (isActive) throw failed(`${name} runs`, 'Stop it first.');
    const keep = [
      ...(find(configured, 'os', 'nvram') === undefined ? [] : ['--keep-nvram']),
      ...(hasTpmState(configured) ? ['--keep-tpm'] : []),
    ];
    await this.#change(['undefine', uuid, '--checkpoints-metadata', ...keep], options);
    // What it found there stays in any case: it may be all that is left of the original.
    if (takesBack) await this.#undo.get(uuid)?.();
    this.#undo.delete(uuid);
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
    // It becomes part of a path.
    const uuid = newIdentity || !isUuid(oldUuid) ? randomUUID() : oldUuid;
    await this.#assertFree(name, uuid, options);
    removeHostParts(domain);
    assertHarmless(domain, name);
    setText(domain, 'name', name);
    if (newIdentity) replaceIdentity(domain, uuid);
    else setUuid(domain, uuid);
    replaceDisks(domain, await Promise.all(instance.disks.map(newDisk)));
    // Never where the XML says: it may come from a store or a peer that would choose any file of root's.
    placeNvram(domain, (file) => nvramPlace(stateDirectory, file), newIdentity ? `${name}-${uuid.slice(0, 8)}` : name);
    const nvram = nvramFile(domain);
    const state = planState(native, { nvram, hasTpm: hasTpmState(domain), uuid, stateDirectory });
    const own = new Set([...instance.disks.map(({ path }) => path), nvram].filter((path) => path !== undefined));
    const warnings = warningsOf(name, hostParts(domain, own), keepConsolesHere(domain));
    return { name: instanceName(name, uuid), uuid, warnings, xml: serialize(domain), state };
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

function warningsOf(name: string, parts: readonly string[], consoles: readonly string[]): readonly string[] {
  return [
    ...(parts.length === 0 ? [] : [`the domain ${name} reaches into this host: look at ${parts.join(', ')} in its XML`]),
    ...consoles.map((type) => `the ${type} console of ${name} will listen on 127.0.0.1 alone: it comes without a password`),
  ];
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
  const { path, backend_type: backend } = disk;
  if (path === undefined) return { disk, isBlockDevice: false };
  try {
    return { disk, isBlockDevice: (await stat(path)).isBlockDevice() };
  } catch (error) {
    // It is checked before the import that creates the disk, and says what it will be.
    if (backend !== undefined && error instanceof Error && 'code' in error && error.code === 'ENOENT')
      return { disk, isBlockDevice: backend === 'block' };
    throw new InventoryError('failed', { message: `cannot look at the disk ${path}: ${errorText(error)}`, cause: error });
  }
}

function failed(message: string, hint: string): InventoryError {
  return new InventoryError('failed', { message, hint });
}
