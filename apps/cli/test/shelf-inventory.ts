import { join } from 'node:path';
import { writeFile } from 'node:fs/promises';
import type { InstanceDescription } from '@gantry/core/inventory';
import { writePackage } from './third-party-package.ts';

/** An inventory that is not Gantry's: what it describes stands in a file, as JSON. It knows short names. */
const SHELF = `
import { readFileSync } from 'node:fs';
class InventoryError extends Error {
  constructor(code, message, details = []) { super(message); Object.assign(this, { name: 'InventoryError', code, details }); }
}
export default {
  schemes: ['shelf'],
  open: async (url, { env }) => {
    if (url.host === 'down') throw new InventoryError('unavailable', 'nobody answers');
    const all = JSON.parse(readFileSync(env.SHELF, 'utf8'));
    return {
      address: url.href,
      async *list() { for (const { instance, run } of all) yield { name: instance.name, run, os: instance.os, hypervisor: instance.hypervisor, disks: 1, tags: instance.tags ?? [] }; },
      async describe(name) {
        const [found, ...more] = all.filter(({ instance }) => [instance.name, instance.name.split('.')[0]].includes(name));
        if (found === undefined) throw new InventoryError('not-found', 'there is no instance ' + name);
        if (more.length > 0) throw new InventoryError('ambiguous', 'two are called ' + name, all.map(({ instance }) => instance.name));
        return { ...found, native: [{ name: 'shelf.json', secret: false, bytes: Buffer.from('12345') }] };
      },
      async [Symbol.asyncDispose]() {},
    };
  },
};`;

/**
 * Installs the inventory, with these instances in it.
 *
 * @returns environment variables for gantry
 */
export async function writeShelf(directory: string, described: readonly InstanceDescription[]): Promise<Record<string, string>> {
  const file = join(directory, 'shelf.json');
  await writeFile(file, JSON.stringify(described));
  return { NODE_OPTIONS: await writePackage(directory, 'gantry-inventory-shelf', SHELF), SHELF: file };
}
