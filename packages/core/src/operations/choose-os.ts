import type { Instance } from '../instances/model.ts';
import type { OperationOptions } from '../report/reporter.ts';
import type { OsOperation } from '../scripts/definition.ts';
import { osSearchPath } from '../scripts/search-path.ts';
import type { SelectedOs } from '../scripts/select.ts';
import { assertHypervisor, assertOperation, selectOs } from '../scripts/select.ts';

/**
 * The OS definition of an instance, known to be sound, to support its hypervisor, and to be able to do `operation`.
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
