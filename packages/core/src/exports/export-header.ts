import type { CallOptions, Store } from '@gantry/transport';
import { StoreError } from '@gantry/transport';
import { z } from 'zod';
import type { Claim, ClaimRequest } from './claim.ts';
import { claimExport, claimExportId } from './claim.ts';
import { exportPrefix, formatExportReference, isReferencePart } from './export-id.ts';

/** What a `StoreSink` wants to know before the first dump. */
export interface ExportHeader {
  /** The instance's name. */
  readonly instance: string;
  /** When the export began; its id comes from it. ISO 8601, UTC. */
  readonly started: string;
  /** The id that it has in another store already: it gets the same, or none. */
  readonly id?: string | undefined;
  /** Unique for this run. */
  readonly runId: string;
  readonly tool: { readonly name: string; readonly version: string };
  /** The names of the dumps (and other large objects) to come: a killed export is found by them where a service lists unfinished uploads by whole key only. */
  readonly dumps?: readonly string[] | undefined;
  /** `INSTANCE@EXPORT-ID` of every export whose packs this one may refer to: the claim names them, so that nobody removes them meanwhile. */
  readonly parents?: readonly string[] | undefined;
}

export const exportHeaderSchema: z.ZodType<ExportHeader> = z.object({
  instance: z.string(),
  started: z.iso.datetime(),
  id: z.string().refine(isReferencePart).optional(),
  runId: z.string(),
  tool: z.object({ name: z.string(), version: z.string() }),
  dumps: z.array(z.string()).optional(),
  parents: z.array(z.string()).optional(),
});

/** Claims the place of a new export. @throws StoreError `exists` if something else has the id that it must have */
export async function claimFor(
  store: Store,
  { id, ...header }: ExportHeader & Pick<ClaimRequest, 'recipients'>,
  options: CallOptions,
): Promise<Claim> {
  const request = { ...header, started: new Date(header.started) };
  if (id === undefined) return await claimExport(store, request, options);
  const claim = await claimExportId(store, id, request, options);
  if (claim !== undefined) return claim;
  const reference = formatExportReference(header.instance, id);
  throw new StoreError('exists', { key: exportPrefix(header.instance, id), message: `something else is in the place of ${reference}` });
}
