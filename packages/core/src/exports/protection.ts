import type { CallOptions, Store } from '@gantry/transport';
import { exportPrefix } from './export-id.ts';
import { objectsOfOthers, ownObjects } from './export-objects.ts';
import { keysNumber, MANIFEST_FILE, SIGNATURE_FILE, SUMS_FILE } from './layout.ts';
import type { Manifest } from './manifest.ts';

/** An export, as far as it matters for what protects it. */
export interface ProtectedExport {
  readonly manifest: Manifest;
  /** Names in its directory: those of what the manifest does not name are looked for here. */
  readonly files: Iterable<string>;
}

/** Why an export is not protected, although the store asks the service to keep what it writes. */
export type ProtectionGap =
  /** An object was never protected. */
  | { readonly kind: 'none'; readonly key: string }
  /** It was, until then. */
  | { readonly kind: 'ended'; readonly key: string; readonly until: Date }
  /** The service does not say. */
  | { readonly kind: 'unknown' };

/** Asks a store until when exports are protected: each object once, however many exports refer to it. */
export class Protections {
  readonly #store: Store;
  readonly #now: Date;
  readonly #known = new Map<string, Promise<Date | 'unknown' | undefined>>();

  constructor(store: Store, now: Date = new Date()) {
    this.#store = store;
    this.#now = now;
  }

  /**
   * Until when the service keeps everything that an export needs; undefined if something may be removed now, or the service does not say.
   *
   * @throws StoreError; the reason of the signal
   */
  async of(found: ProtectedExport, options: CallOptions): Promise<Date | undefined> {
    if (this.#store.protectedUntil === undefined) return undefined;
    let earliest: Date | undefined;
    for (const key of keysOf(found)) {
      const until = await this.#until(key, options);
      if (until === undefined || until === 'unknown' || until <= this.#now) return undefined;
      if (earliest === undefined || until < earliest) earliest = until;
    }
    return earliest;
  }

  /**
   * Why something that an export needs may be removed now, although the store asks the service to keep what it writes: by the first object
   * that was never protected, or else by the first that is not.
   *
   * @throws StoreError; the reason of the signal
   */
  async gapOf(found: ProtectedExport, options: CallOptions): Promise<ProtectionGap | undefined> {
    if (this.#store.protect === undefined || this.#store.protectedUntil === undefined) return undefined;
    let gap: ProtectionGap | undefined;
    for (const key of keysOf(found)) {
      const until = await this.#until(key, options);
      if (until === undefined) return { kind: 'none', key };
      if (until === 'unknown') gap ??= { kind: 'unknown' };
      else if (until <= this.#now) gap ??= { kind: 'ended', key, until };
    }
    return gap;
  }

  #until(key: string, options: CallOptions): Promise<Date | 'unknown' | undefined> {
    const known = this.#known.get(key) ?? this.#store.protectedUntil?.(key, options) ?? Promise.resolve(undefined);
    this.#known.set(key, known);
    return known;
  }
}

/** What an export needs: to be read, to be held against its signature and opened, and to be brought back after a removal. */
function keysOf({ manifest, files }: ProtectedExport): readonly string[] {
  const prefix = exportPrefix(manifest.instance.name, manifest.exportId);
  const beside = [...files].filter((name) => name === SUMS_FILE || name === SIGNATURE_FILE || keysNumber(name) > 0);
  const objects = [...ownObjects(manifest), ...objectsOfOthers(manifest)].map(({ key }) => key);
  return [`${prefix}${MANIFEST_FILE}`, ...objects, ...beside.map((name) => `${prefix}${name}`)];
}

/** What is said of a gap. @param address of the store */
export function describeGap(gap: ProtectionGap, address: string): string {
  if (gap.kind === 'unknown')
    return `cannot see whether removals from ${address} would take effect: the service does not show the locks of all objects to this user`;
  if (gap.kind === 'none')
    return `${gap.key} is not protected by the service: a removal would take effect, although the address asks for a lock`;
  return `the lock of ${gap.key} ended on ${dayOf(gap.until)}: a removal would take effect`;
}

/** What is said of many exports at once whose locks have ended. @param first when that of one of them ended first */
export function describeEnded(count: number, first: Date): string {
  const whose = count === 1 ? '1 export has a lock that ended' : `${count} exports have locks that ended, the first`;
  return `${whose} on ${dayOf(first)}: a removal of ${count === 1 ? 'it' : 'them'} would take effect`;
}

function dayOf(time: Date): string {
  return time.toISOString().slice(0, 10);
}
