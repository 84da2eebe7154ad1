import type { OperationOptions } from '../report/reporter.ts';
import { createReporter } from '../report/reporter.ts';
import { checkParameters } from '../scripts/parameters.ts';
import { osSearchPath } from '../scripts/search-path.ts';
import { selectOs } from '../scripts/select.ts';
import type { Parameters } from '../instances/model.ts';

export interface CheckOsRequest extends OperationOptions {
  /** `os` or `os+variant`. */
  readonly os: string;
  readonly parameters: Parameters;
}

/**
 * Checks that an OS definition is sound, and parameters against it: by its `parameters.list`, then by its `verify` script.
 *
 * @throws GantryError `OS_*`
 */
export async function checkOs(request: CheckOsRequest): Promise<void> {
  const reporter = createReporter('os-check', request.onEvent);
  const os = await selectOs(request.os, {
    searchPath: request.osSearchPath ?? osSearchPath({ env: {} }),
    forceVariant: request.forceVariant,
    signal: request.signal,
  });
  await checkParameters(
    os,
    { osparams: request.parameters, osparams_private: {} },
    {
      signal: request.signal,
      debug: request.debug,
      onMessage: ({ stream, line }) => reporter.emit({ type: 'message', operation: 'os-check', script: 'verify', stream, line }),
      onWarning: reporter.warn,
    },
  );
}
