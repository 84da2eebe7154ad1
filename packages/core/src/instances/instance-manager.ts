import { GantryError } from '../report/errors.ts';
import { withInventoryErrors } from './instance-source.ts';
import type { InstanceManager, InstanceSource } from './inventory.ts';

/** More than any source names an instance with. */
const MAX_NAME_LENGTH = 255;

/**
 * What changes instances in a source, failing in core's terms: with `INSTANCE_*`, `INVENTORY_*` or the reason of the signal.
 *
 * @throws GantryError `INVENTORY_READ_ONLY` where the source only describes
 */
export function managerOf({ address, manager }: InstanceSource): InstanceManager {
  if (manager === undefined) {
    throw new GantryError('INVENTORY_READ_ONLY', {
      message: `${address} only describes instances: it cannot define, start, stop or remove one`,
      hint: 'Name a source that can, such as libvirt:, or leave the option out and do it with its own tools.',
    });
  }
  return {
    checkDefine: (request, options = {}) => withInventoryErrors(address, options.signal, () => manager.checkDefine(request, options)),
    define: async (request, options = {}) => {
      const name: unknown = await withInventoryErrors(address, options.signal, () => manager.define(request, options));
      if (typeof name === 'string' && name !== '' && name.length <= MAX_NAME_LENGTH) return name;
      throw new GantryError('INVENTORY_FAILED', {
        message: `${address} does not say under which name it defined ${request.instance.name}`,
        hint: 'Tell the authors of its inventory.',
      });
    },
    start: (name, options = {}) => withInventoryErrors(address, options.signal, () => manager.start(name, options)),
    stop: (name, options) => withInventoryErrors(address, options.signal, () => manager.stop(name, options)),
    undefine: (name, options = {}) => withInventoryErrors(address, options.signal, () => manager.undefine(name, options)),
  };
}
