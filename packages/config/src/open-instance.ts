import type { DescribedInstance } from '@gantry/core';
import { asInventoryFailure, assertDisksHere, describeFrom } from '@gantry/core';
import type { InstanceSource } from '@gantry/core/inventory';
import { parseInstanceAddress, parseSourceAddress } from './addresses/instance-address.ts';
import type { OpenContext } from './context.ts';
import { loadInventory } from './inventories.ts';

/**
 * Describes the instance that the user named, whose disks are to be used here: an instance file by its path, `scheme:NAME` or
 * `scheme://host/NAME`.
 *
 * @throws GantryError `INSTANCE_*`, `INVENTORY_*`; the reason of the signal
 */
export async function openInstance(address: string, context: OpenContext): Promise<DescribedInstance> {
  const described = await openInstanceAnywhere(address, context);
  assertDisksHere(described);
  return described;
}

/** The same, whether its disks are on this host or on another one. @throws as {@link openInstance} */
export async function openInstanceAnywhere(address: string, context: OpenContext): Promise<DescribedInstance> {
  const { source, name } = await openSourceOf(address, context);
  await using _source = source;
  return await describeFrom(source, name, { signal: context.signal });
}

/** An open source, and what it finds an instance by. */
export interface SourceOfInstance {
  /** The caller disposes it. */
  readonly source: InstanceSource;
  readonly name: string;
}

/**
 * Opens the source of the instance that the user named, which need not be there.
 *
 * @throws GantryError `INVENTORY_*`; the reason of the signal
 */
export async function openSourceOf(address: string, context: OpenContext): Promise<SourceOfInstance> {
  const { source, name } = parseInstanceAddress(address, context.cwd, context.inventories);
  return { source: await openSource(source, context), name };
}

/**
 * Opens the source of instances that the user named: a directory of instance files, `scheme:` or `scheme://host`, or the name of an
 * inventory.
 *
 * @throws GantryError `INVENTORY_*`; the reason of the signal
 */
export async function openInstanceSource(address: string, context: OpenContext): Promise<InstanceSource> {
  return await openSource(parseSourceAddress(address, context.cwd, context.inventories), context);
}

async function openSource(url: URL, { signal, env, warn }: OpenContext): Promise<InstanceSource> {
  const inventory = await loadInventory(url);
  try {
    return await inventory.open(url, { signal, env, warn });
  } catch (error) {
    signal.throwIfAborted();
    throw asInventoryFailure(error, url.href);
  }
}
