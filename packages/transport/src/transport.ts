import type { PeerChannel } from './peer.ts';
import type { CallOptions, Store } from './store.ts';

/** The environment of a transport, passed in so that it reads no globals. */
export interface OpenOptions extends CallOptions {
  /** The directory that relative paths in the address are relative to. */
  readonly cwd: string;
  /** Environment variables, for credentials and settings that the transport documents. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** `read`: nothing will be written, so the store need not find out how it could write. `write` by default. */
  readonly access?: 'read' | 'write' | undefined;
  /** `false`: nobody is there to answer, even if there is a terminal, so nothing may be asked. `true` by default. */
  readonly mayAsk?: boolean | undefined;
  /** Called with warnings for the user. */
  readonly warn: (message: string) => void;
}

export interface OpenPeerOptions extends OpenOptions {
  /** The program's name or path there, made of letters, digits and `._/+-`; `gantry` by default. */
  readonly program?: string | undefined;
}

/**
 * Provides stores for URL schemes. It is the default export of a package called `gantry-transport-SCHEME`, or of one of Gantry's own.
 */
export interface Transport {
  /** The schemes it serves, without the colon, such as `s3`. */
  readonly schemes: readonly string[];
  /**
   * Whether its stores retry temporary failures themselves, or have none. Otherwise Gantry wraps each store in `withRetry`.
   */
  readonly retries?: boolean;
  /**
   * Opens the store at `address`. Creates nothing: a missing store is reported by the first call that needs it.
   * @throws StoreError `invalid-address`, `denied`, `unavailable`
   */
  open(address: URL, options: OpenOptions): Promise<Store>;
  /**
   * Runs `gantry receive` on the peer at `address`, and returns the channel to it. Only for transports that can run a program there.
   * @throws StoreError `invalid-address`, `denied`, `unavailable`
   */
  openPeer?(address: URL, options: OpenPeerOptions): Promise<PeerChannel>;
}
