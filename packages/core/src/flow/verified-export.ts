import type { SignatureState } from '../exports/signature.ts';
import type { GantryError, GantryErrorCode } from '../report/errors.ts';

/** What was found of one export. */
export interface VerifiedExport {
  /** `INSTANCE@EXPORT-ID`. */
  readonly reference: string;
  /** `packs`: the export was removed, or is not complete, and others refer to its packs. */
  readonly kind: 'export' | 'packs';
  /**
   * `unreadable`: the store failed before it could be said. `refused`: its signature is missing or wrong for this run, and what is stored
   * is not damaged, or was not looked at.
   */
  readonly result: 'sound' | 'damaged' | 'refused' | 'unreadable';
  /** It is sealed, and was verified as it is stored, not by its frames. */
  readonly sealed?: 'closed';
  readonly signature?: SignatureState;
  readonly code?: GantryErrorCode;
  readonly reason?: string;
}

/** What this run's allowed signers say of an export: not of what is stored, so it is not remembered. */
export type CheckedSignature = Pick<VerifiedExport, 'signature'> | { readonly refusal: GantryError };

type Found = Pick<VerifiedExport, 'result' | 'code' | 'reason' | 'signature'>;

/** As its bytes were found, with its signature where it is sound. */
export function resultOf(problem: GantryError | undefined, signed: CheckedSignature = {}): Found {
  if (problem !== undefined) return { result: 'damaged', code: problem.code, reason: problem.message };
  return { result: 'sound', ...('signature' in signed ? signed : {}) };
}

/** Its bytes are not damaged, or were not looked at. */
export function refusedFor({ code, message }: GantryError): Found {
  return { result: 'refused', code, reason: message };
}
