/* ZSTD_cParameter of zstd.h. */
const COMPRESSION_LEVEL = 100;
const WINDOW_LOG = 101;
const HASH_LOG = 102;
const LONG_DISTANCE_MATCHING = 160;
const CHECKSUM_FLAG = 201;

const USUAL_LEVEL = 3;
/**
 * Instead of 17. The tables of level 3 then take half a MiB, and fit into the second-level cache of one processor (often 1 MiB) beside
 * the data; with 768 KiB they do not, once every processor compresses. Figures: docs/decisions/0003-what-the-profile-showed.md.
 */
const USUAL_HASH_LOG = 16;

/** Parameters of zstd (ZSTD_CCtx_setParameter) for compressing frames, with their values. */
export function zstdParameters(level: number): ReadonlyMap<number, number> {
  return new Map([[COMPRESSION_LEVEL, level], [CHECKSUM_FLAG, 1], ...(level === USUAL_LEVEL ? [[HASH_LOG, USUAL_HASH_LOG] as const] : [])]);
}

/** The smallest window that zstd knows (ZSTD_WINDOWLOG_ABSOLUTEMIN). */
const MIN_WINDOW_LOG = 10;
/**
 * From this level on, the usual tables find all of a frame of 4 MiB again. Those of lower ones keep only the last part of it in mind; with a
 * table of long matches they find it too, for a third more time. Figures: docs/decisions/0118-patches-of-frames.md.
 */
const FIRST_LEVEL_WITH_LARGE_TABLES = 9;

/**
 * The same for compressing a frame as its difference from another one.
 *
 * @param bytes of both together: the window must hold them, so that any part of the other frame can be referred to from any part of this
 */
export function zstdPatchParameters(level: number, bytes: number): ReadonlyMap<number, number> {
  const windowLog = Math.max(MIN_WINDOW_LOG, Math.ceil(Math.log2(bytes)));
  const findsAll = level >= FIRST_LEVEL_WITH_LARGE_TABLES;
  return new Map([...zstdParameters(level), [WINDOW_LOG, windowLog], ...(findsAll ? [] : [[LONG_DISTANCE_MATCHING, 1] as const])]);
}
