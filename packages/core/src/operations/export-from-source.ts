import type { Store } from '@gantry/transport';
import { beginHookedTime } from '../flow/hooks.ts';
import { receiveFromSource } from '../flow/source-out.ts';
import { selectDisks } from '../flow/select-disks.ts';
import type { Call } from '../flow/session.ts';
import { openCallRun, startCall } from '../flow/session.ts';
import type { MadeExport } from '../flow/store-outcomes.ts';
import { copyToRest } from '../flow/store-outcomes.ts';
import { transfersOf } from '../flow/transfers-of.ts';
import { chooseLevel } from '../frames/codecs/levels.ts';
import { DEFAULT_CODEC } from '../frames/codecs/registry.ts';
import type { InstanceSource, SendOptions } from '../instances/inventory.ts';
import { withFirstError } from '../report/first-error.ts';
import { RAW_DEFINITION } from '../scripts/definition.ts';
import { parseOsName } from '../scripts/os-name.ts';
import type { ExportParts, ExportRequest, ExportResult } from './export.ts';
import { exportInto } from './export.ts';

export interface ExportFromSourceRequest
  extends
    Omit<
      ExportRequest,
      'disks' | 'trackChanges' | 'snapshot' | 'snapshotConfig' | 'snapshotSize' | 'guest' | 'osSearchPath' | 'forceVariant' | 'debug'
    >,
    Pick<SendOptions, 'listen'> {
  readonly store: Store;
  /** Where the instance is described, and which sends its disks. The caller disposes it. */
  readonly source: InstanceSource;
}

/** Which version of the OS interface the scripts in a source have, it does not say. */
const UNKNOWN_API_VERSION = 0;

/**
 * Exports an instance whose source sends its disks, with its own locks and snapshots, from the host that has them. As with
 * `exportInstance`, the export becomes visible when it is complete; here, that is when the source says so too.
 *
 * @throws GantryError, or the reason of the signal
 */
export function exportFromSource(request: ExportFromSourceRequest): Promise<ExportResult> {
  return withFirstError(async () => {
    const call = startCall('export', request);
    return await copyToRest(call, request, await runExport(call, request));
  });
}

async function runExport(call: Call, request: ExportFromSourceRequest): Promise<MadeExport<ExportResult>> {
  const started = new Date();
  const { instance, source, codec = DEFAULT_CODEC, listen, parallel } = request;
  const { signal, reporter } = call;
  const level = chooseLevel(codec, request.level);
  const transfers = transfersOf(source);
  const disks = selectDisks(instance, undefined);
  const { name, variant } = parseOsName(instance.os);
  await using scope = await openCallRun(call, instance.name);
  const os = {
    name,
    ...(variant === undefined ? {} : { variant }),
    apiVersion: name === RAW_DEFINITION.name ? RAW_DEFINITION.apiVersion : UNKNOWN_API_VERSION,
  };
  const from = { transfers, source: source.address, name: instance.name, disks, listen, parallel, codec, level, reporter, signal };
  const hooked = { run: scope.run, instance: instance.name, warn: reporter.warn, signal };
  const send: ExportParts['send'] = async (dump) => {
    await using _hooked = await beginHookedTime(request.hooks, hooked);
    return await receiveFromSource({ ...from, ...dump });
  };
  return await exportInto({ ...call, instance, disks, run: scope.run, os }, { request, started, codec, send });
}
