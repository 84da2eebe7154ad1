/** Space for a snapshot that keeps what its disk loses: bytes, or a share of the disk. */
export type SnapshotSize = { readonly bytes: number } | { readonly percent: number };

const UNITS: Readonly<Record<string, number>> = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 };
const MAX_PERCENT = 100;

/**
 * Reads `5G`, `512MiB`, `20%`; units are powers of 1024.
 * @throws Error that says what it must be
 */
export function parseSnapshotSize(text: string): SnapshotSize {
  const [, digits = '', unit = ''] = /^(\d{1,15})(%|[KMGT]?(?:iB|B)?)$/i.exec(text) ?? [];
  const number = Number(digits);
  if (unit === '%' && number > 0 && number <= MAX_PERCENT) return { percent: number };
  const bytes = number * (UNITS[unit.replace(/i?B$/i, '').toUpperCase()] ?? 0);
  if (bytes > 0 && Number.isSafeInteger(bytes)) return { bytes };
  throw new Error('It must be a size above 0, such as 512M, 5GiB, or 20% of the disk.');
}

/** Bytes, for a disk of `diskBytes`. */
export function snapshotBytes(size: SnapshotSize, diskBytes: number): number {
  return 'bytes' in size ? size.bytes : Math.ceil((diskBytes * size.percent) / MAX_PERCENT);
}
