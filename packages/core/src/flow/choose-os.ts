import type { Instance } from '../instances/model.ts';
import type { OperationOptions } from '../report/reporter.ts';
import type { OsOperation } from '../scripts/definition.ts';
import { osSearchPath } from '../scripts/search-path.ts';
import type { SelectedOs } from '../scripts/select.ts';
import { assertHypervisor, assertOperation, selectOs } from '../scripts/select.ts';

/**
 * Finds the OS definition of an instance: valid, with a script for `operation`, and for its hypervisor.
 *
 * @throws GantryError `OS_*`
 */
export async function chooseOs(instance: Instance, operation: OsOperation, options: OperationOptions): Promise<SelectedOs> {
  const os = await selectOs(instance.os, {
    searchPath: options.osSearchPath ?? osSearchPath({ env: {} }),
    forceVariant: options.forceVariant,
    signal: options.signal,
  });
  assertOperation(os, operation);
  assertHypervisor(os, instance.hypervisor);
  return os;
}
