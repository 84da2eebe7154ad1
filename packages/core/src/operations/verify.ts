import type { Store } from '@gantry/transport';
import { readSideFile } from '../exports/examine.ts';
import { objectsOfOthers, ownObjects } from '../exports/export-objects.ts';
import { CONFIG_FILE, SUMS_FILE } from '../exports/layout.ts';
import type { StoredExport } from '../exports/open-export.ts';
import { openExport } from '../exports/open-export.ts';
import { parseSha256Sums } from '../exports/sha256sums.ts';
import { digestText } from '../exports/small-object.ts';
import { startCall } from '../flow/session.ts';
import { verifyDumps } from '../flow/verify-dumps.ts';
import { GantryError } from '../report/errors.ts';
import type { OperationOptions } from '../report/reporter.ts';

export interface VerifyRequest extends Pick<OperationOptions, 'signal' | 'onEvent'> {
  readonly store: Store;
  /** `INSTANCE` (the newest complete export) or `INSTANCE@EXPORT-ID`. */
  readonly export: string;
  /** Disks under way at once; default 4. */
  readonly parallel?: number | undefined;
}

export interface VerifyResult {
  readonly reference: string;
  /** Whether there were checksums to hold it against: not in an export that Ganeti made. */
  readonly checksums: boolean;
  readonly plainBytes: number;
  readonly warnings: readonly string[];
}

/**
 * Reads all of an export and checks it: every frame, the digest and size of every dump, the native description,
 * `config.ini` and `SHA256SUMS`. All damage
 * is found, not just the first.
 *
 * @throws GantryError `DUMP_DAMAGED`, `DUMP_MISSING`, `NATIVE_DAMAGED`, `MANIFEST_DAMAGED`, `CONFIG_DAMAGED` and what `openExport` throws
 */
export async function verifyExport(request: VerifyRequest): Promise<VerifyResult> {
  const { store } = request;
  const { signal, reporter } = startCall('verify', request);
  const found = await openExport(store, request.export, { signal });
  for (const warning of found.warnings) reporter.warn(warning);
  reporter.stage(`verifying ${found.reference}`);
  const checksums = found.origin === 'gantry';
  if (checksums) await checkSums(store, found, signal);
  else
    reporter.warn(
      `${found.reference} was made by Ganeti: it carries no checksums; only what the compressed format itself checks is checked`,
    );
  for (const { name } of found.native) await found.nativeFile(name, { signal });
  const plainBytes = await verifyDumps(found, found.dumps, { reporter, signal, parallel: request.parallel });
  return { reference: found.reference, checksums, plainBytes, warnings: reporter.warnings };
}

/** `config.ini` is as it was written, and `SHA256SUMS` says what the manifest says. */
async function checkSums(store: Store, found: StoredExport, signal: AbortSignal): Promise<void> {
  const parsed = parseSha256Sums(await readSideFile(store, found, SUMS_FILE, { signal }), `${SUMS_FILE} of ${found.reference}`);
  const sums = new Map(parsed.map(({ name, sha256 }) => [name, sha256]));
  const objects = found.manifest === undefined ? [] : [...ownObjects(found.manifest), ...objectsOfOthers(found.manifest)];
  const wrong = objects.find(({ name, sha256 }) => sums.get(name) !== sha256);
  if (wrong !== undefined) {
    throw new GantryError('MANIFEST_DAMAGED', {
      message: `${found.reference}: manifest.json and SHA256SUMS say different things of ${wrong.name}`,
      hint: 'One of them was changed: see which with sha256sum -c SHA256SUMS.',
      disk: wrong.disk,
    });
  }
  if (sums.get(CONFIG_FILE) === digestText(await readSideFile(store, found, CONFIG_FILE, { signal })).sha256) return;
  throw new GantryError('CONFIG_DAMAGED', {
    message: `${found.reference}: config.ini is not as it was written`,
    hint: 'Gantry goes by manifest.json; before Ganeti reads this export, compare config.ini with it.',
  });
}
