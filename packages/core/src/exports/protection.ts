import type { CallOptions, Store } from '@gantry/transport';
import { exportPrefix } from './export-id.ts';
import { objectsOfOthers, ownObjects } from './export-objects.ts';
import { MANIFEST_FILE } from './layout.ts';
import type { Manifest } from './manifest.ts';

/** Asks a store until when exports are protected: each object once, however many exports refer to it. */
export class Protections {
  readonly #store: Store;
  readonly #now: Date;
  readonly #known = new Map<string, Promise<Date | undefined>>();

  constructor(store: Store, now: Date = new Date()) {
    this.#store = store;
    this.#now = now;
  }

  /**
   * Until when the service keeps everything that an export needs; undefined if something may be removed now, or the service does not say.
   *
   * @throws StoreError; the reason of the signal
   */
  async of(manifest: Manifest, options: CallOptions): Promise<Date | undefined> {
    return (await this.#look(manifest, options)).until;
  }

  /**
   * The first object that an export needs and that may be removed now, although the store asks the service to keep what it writes.
   *
   * @throws StoreError; the reason of the signal
   */
  async gapOf(manifest: Manifest, options: CallOptions): Promise<string | undefined> {
    if (this.#store.protect === undefined || this.#store.protectedUntil === undefined) return undefined;
    return (await this.#look(manifest, options)).gap;
  }

  async #look(manifest: Manifest, options: CallOptions): Promise<{ readonly until?: Date; readonly gap?: string }> {
    if (this.#store.protectedUntil === undefined) return {};
    const { instance, exportId } = manifest;
    const keys = [`${exportPrefix(instance.name, exportId)}${MANIFEST_FILE}`];
    keys.push(...[...ownObjects(manifest), ...objectsOfOthers(manifest)].map(({ key }) => key));
    let earliest: Date | undefined;
    for (const key of keys) {
      const until = await this.#until(key, options);
      if (until === undefined || until <= this.#now) return { gap: key };
      if (earliest === undefined || until < earliest) earliest = until;
    }
    return earliest === undefined ? {} : { until: earliest };
  }

  #until(key: string, options: CallOptions): Promise<Date | undefined> {
    const known = this.#known.get(key) ?? this.#store.protectedUntil?.(key, options) ?? Promise.resolve(undefined);
    this.#known.set(key, known);
    return known;
  }
}
