import type { ByteSource, CallOptions, Digest, ReadOptions } from './store.ts';

/*
 * # Sinks and sources
 *
 * A sink takes one export as it is made; a source provides one. Core implements both on top of any store. A peer that imports at once,
 * without storage in between, is another sink. Core defines the contents of the documents below: to a transport they are JSON.
 */

/** A JSON document, as `JSON.stringify` takes it. */
export type JsonDocument = { readonly [name: string]: unknown };

/** What a sink gets to know about a dump before its first byte. */
export interface DumpHeader {
  /** The disk's index in the instance, from 0. */
  readonly index: number;
  /** The dump's file name, such as `disk0.zst`. */
  readonly name: string;
  /** Metadata from core for the reader on the other side, such as codec and frame size. */
  readonly document: JsonDocument;
  /** The expected number of bytes, if known. */
  readonly expectedBytes?: number | undefined;
}

/** A dump that is being written to a sink. Disposing an unfinished one discards it. */
export interface DumpWriter extends AsyncDisposable {
  /** As `PendingObject.append`. */
  append(source: AsyncIterable<Uint8Array>, options?: CallOptions): Promise<void>;
  /** Ends the dump: the sink compares the digest, and keeps the dump until the export is committed. @throws StoreError `integrity` */
  finish(digest: Digest, options?: CallOptions): Promise<void>;
}

/** An export that is being written. Disposing an uncommitted one aborts it: then nothing of it is visible. */
export interface ExportWriter extends AsyncDisposable {
  /** Starts a dump; several may be open at once. */
  dump(header: DumpHeader, options?: CallOptions): Promise<DumpWriter>;
  /** Makes the export visible, atomically and durably, after all dumps are finished. */
  commit(manifest: JsonDocument, options?: CallOptions): Promise<void>;
}

/** A destination of exports. */
export interface Sink extends AsyncDisposable {
  readonly address: string;
  /** Starts an export. `header` has what is known before the first dump: the instance, its disks, the export's id. */
  open(header: JsonDocument, options?: CallOptions): Promise<ExportWriter>;
}

/** An export that is being read. */
export interface ExportReader extends AsyncDisposable {
  manifest(options?: CallOptions): Promise<JsonDocument>;
  /** The stored bytes of one dump, by its name in the manifest. */
  dump(name: string, options?: ReadOptions): Promise<ByteSource>;
}
