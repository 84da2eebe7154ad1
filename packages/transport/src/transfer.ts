import type { ByteSource, CallOptions, Digest, ReadOptions } from './store.ts';

/*
 * # Sinks and sources
 *
 * A sink takes one export as it is made; a source is its mirror. Core's layout makes both of any store. A peer that imports at
 * once, with no storage between, is a sink of its own. What the documents below contain is the business of whoever
 * writes and reads them (core): to a transport they are JSON.
 */

/** A JSON document, as `JSON.stringify` takes it. */
export type JsonDocument = { readonly [name: string]: unknown };

/** What a sink is told of a dump before its first byte. */
export interface DumpHeader {
  /** The disk's index in the instance, from 0. */
  readonly index: number;
  /** The file name by which the dump is known, such as `disk0.zst`. */
  readonly name: string;
  /** What core wants its reader on the other side to know, such as codec and frame size. */
  readonly document: JsonDocument;
  /** About how many bytes will come, where somebody knows. */
  readonly expectedBytes?: number | undefined;
}

/** One dump on its way into a sink. Disposing one that is not finished discards it. */
export interface DumpWriter extends AsyncDisposable {
  /** As `PendingObject.append`. */
  append(source: AsyncIterable<Uint8Array>, options?: CallOptions): Promise<void>;
  /** The dump is whole: the sink compares, and keeps it until the export is committed. @throws StoreError `integrity` */
  finish(digest: Digest, options?: CallOptions): Promise<void>;
}

/** One export on its way. Disposing one that is not committed aborts it: then nothing of it can be seen. */
export interface ExportWriter extends AsyncDisposable {
  /** Starts a dump; several may be open at once. */
  dump(header: DumpHeader, options?: CallOptions): Promise<DumpWriter>;
  /** All dumps are finished: makes the export visible, at once and durably. */
  commit(manifest: JsonDocument, options?: CallOptions): Promise<void>;
}

/** Something that takes exports. */
export interface Sink extends AsyncDisposable {
  readonly address: string;
  /** Starts one export. `header` tells what is known before the first dump: the instance, its disks, the export's id. */
  open(header: JsonDocument, options?: CallOptions): Promise<ExportWriter>;
}

/** One export to read. */
export interface ExportReader extends AsyncDisposable {
  manifest(options?: CallOptions): Promise<JsonDocument>;
  /** The stored bytes of one dump, by its name in the manifest. */
  dump(name: string, options?: ReadOptions): Promise<ByteSource>;
}
