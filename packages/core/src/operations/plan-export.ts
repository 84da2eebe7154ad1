import { dumpFileName, packFileName } from '../exports/layout.ts';
import { assertSeparateStores } from '../exports/separate-stores.ts';
import { checkLabels } from '../exports/labels.ts';
import { assertCanSign, sshSigner } from '../exports/signature.ts';
import { chooseOs } from '../flow/choose-os.ts';
import { warnOfImages } from '../flow/image-warning.ts';
import type { DryRun } from '../flow/plan-checks.ts';
import { sessionChecks, snapshotChecks, storeChecks } from '../flow/plan-checks.ts';
import { selectDisks } from '../flow/select-disks.ts';
import type { Session } from '../flow/session.ts';
import { checkSessionParameters, inspectFor, openSession, startCall } from '../flow/session.ts';
import { chooseLevel } from '../frames/codecs/levels.ts';
import { DEFAULT_CODEC } from '../frames/codecs/registry.ts';
import type { PlanCheck, WritePlan } from '../report/events.ts';
import { withFirstError } from '../report/first-error.ts';
import { sum } from '../system/sum.ts';
import type { ExportRequest } from './export.ts';
import { tracksChanges } from './export.ts';

/**
 * Checks everything of an export that can be checked without a snapshot and without writing into the store, and says what it would do.
 * Like every run it clears what dead runs left on this machine.
 *
 * @throws GantryError as the export would; the reason of the signal
 */
export function planExport(request: ExportRequest): Promise<DryRun> {
  return withFirstError(() => runPlan(request));
}

async function runPlan(request: ExportRequest): Promise<DryRun> {
  checkLabels(request.labels ?? {});
  const call = startCall('export', request);
  const { signal, reporter } = call;
  const { store, alsoInto = [], codec = DEFAULT_CODEC, createStore = false } = request;
  const level = chooseLevel(codec, request.level);
  await assertSeparateStores([store, ...alsoInto], { signal });
  const os = await chooseOs(request.instance, 'export', request);
  tracksChanges(request, os);
  const disks = selectDisks(request.instance, request.disks);
  const inspected = await inspectFor(call, request.instance, { purpose: 'export', disks });
  await using session = await openSession(call, { os, inspected, disks, diskLock: 'shared' });
  await checkSessionParameters(session);
  await warnOfImages(session);
  const sizes = disks.map((disk) => inspected.diskBytes[disk]);
  const neededBytes = sum(sizes.map((bytes) => bytes ?? 0));
  const checks = [
    ...sessionChecks(session),
    ...(await snapshotChecks(request, session)),
    { check: 'codec', says: level === undefined ? codec : `${codec}, level ${level}` } as const,
    ...recipientsChecks(request),
    ...(await signKeyChecks(request, signal)),
    ...(await storeChecks([store, ...alsoInto], { reporter, signal, createStore, neededBytes })),
  ];
  return { dryRun: true, instance: session.instance.name, plan: planOf(request, session), checks, warnings: reporter.warnings };
}

function recipientsChecks({ recipients }: ExportRequest): readonly PlanCheck[] {
  if (recipients === undefined) return [];
  const { texts } = recipients;
  return [{ check: 'recipients', says: texts.length === 0 ? 'sealed with a passphrase' : `sealed for ${texts.join(', ')}` }];
}

/** @throws GantryError `SIGNING_FAILED` */
async function signKeyChecks({ signKey }: ExportRequest, signal: AbortSignal): Promise<readonly PlanCheck[]> {
  if (signKey === undefined) return [];
  await assertCanSign(sshSigner(signKey), { signal });
  return [{ check: 'sign-key', says: `${signKey} can sign` }];
}

/** A new export: nothing in the store changes. */
function planOf(
  { store, alsoInto = [], codec = DEFAULT_CODEC, incremental, recipients: sealed }: ExportRequest,
  { instance, disks, inspected }: Session,
): WritePlan {
  return {
    from: instance.name,
    exported: instance.name,
    into: [store, ...alsoInto].map(({ address }) => address).join(' and '),
    disks: disks.map((disk) => {
      const bytes = inspected.diskBytes[disk];
      const target = incremental === true ? packFileName(disk, codec, { sealed }) : dumpFileName(disk, codec, { sealed });
      const holds = 'nothing: it will be in a new export';
      return { disk, target, holds, action: 'create', ...(bytes === undefined ? {} : { incomingBytes: bytes }) };
    }),
  };
}
