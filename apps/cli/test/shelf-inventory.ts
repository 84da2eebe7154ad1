import { join } from 'node:path';
import { writeFile } from 'node:fs/promises';
import type { InstanceDescription } from '@gantry/core/inventory';
import { writePackage } from './third-party-package.ts';

/** An inventory that is not Gantry's: what it describes stands in a file, as JSON, which its manager changes. It knows short names. */
const SHELF = `
import { appendFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
class InventoryError extends Error {
  constructor(code, message, details = []) { super(message); Object.assign(this, { name: 'InventoryError', code, details }); }
}
export default {
  schemes: ['shelf'],
  open: async (url, { env }) => {
    if (url.host === 'down') throw new InventoryError('unavailable', 'nobody answers');
    const load = () => JSON.parse(readFileSync(env.SHELF, 'utf8'));
    const save = (all) => writeFileSync(env.SHELF, JSON.stringify(all));
    const all = load();
    // With SHELF_HANGS, a call of that name never ends by itself; the process says its number.
    const called = async (call, name, { signal } = {}) => {
      appendFileSync(env.SHELF + '.calls', call + ' ' + name + '\\n');
      if (env.SHELF_HANGS !== call) return;
      writeFileSync(env.SHELF + '.new', String(process.pid));
      renameSync(env.SHELF + '.new', env.SHELF + '.hangs');
      await new Promise((resolve, reject) => {
        const alive = setInterval(() => {}, 1000);
        signal?.addEventListener('abort', () => (clearInterval(alive), reject(signal.reason)));
      });
    };
    const change = (name, map) => save(load().flatMap((each) => each.instance.name === name ? map(each) : [each]));
    return {
      address: url.href,
      async *list() { for (const { instance, run } of all) yield { name: instance.name, run, os: instance.os, hypervisor: instance.hypervisor, disks: 1, tags: instance.tags ?? [] }; },
      async describe(name) {
        const [found, ...more] = load().filter(({ instance }) => [instance.name, instance.name.split('.')[0]].includes(name));
        if (found === undefined) throw new InventoryError('not-found', 'there is no instance ' + name);
        if (more.length > 0) throw new InventoryError('ambiguous', 'two are called ' + name, all.map(({ instance }) => instance.name));
        return { native: [{ name: 'shelf.json', secret: false, bytes: Buffer.from('12345') }], ...found };
      },
      manager: {
        async checkDefine({ instance }) {
          if (load().some((each) => each.instance.name === instance.name)) throw new InventoryError('exists', instance.name + ' is there');
        },
        async define({ instance, native }, options) {
          await called('define', instance.name, options);
          save([...load(), { instance, run: { state: 'stopped' }, guarded: [], got: native.map(({ name, bytes }) => [name, Buffer.from(bytes).toString()]) }]);
          return instance.name;
        },
        async start(name, options) { await called('start', name, options); change(name, (each) => [{ ...each, run: { state: 'running', node: 'shelf' } }]); },
        async stop(name, options) { change(name, (each) => [{ ...each, run: { state: 'stopped' } }]); await called('stop', name, options); },
        async undefine(name, options) { await called('undefine', name, options); change(name, () => []); },
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
