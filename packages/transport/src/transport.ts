import type { PeerChannel } from './peer.ts';
import type { CallOptions, Store } from './store.ts';

/** What a transport may use of its surroundings: handed in, so that a transport reads no globals. */
export interface OpenOptions extends CallOptions {
  /** Where relative paths in the address count from. */
  readonly cwd: string;
  /** Environment variables, for credentials and settings that the transport documents. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** `read`: nothing will be begun, so the store need not find out how it could write. `write` where absent. */
  readonly access?: 'read' | 'write' | undefined;
  /** Called with what the user should know although nothing failed. */
  readonly warn: (message: string) => void;
}

export interface OpenPeerOptions extends OpenOptions {
  /** How the program is called there: a name or a path made of letters, digits and `._/+-`; `gantry` where absent. */
  readonly program?: string | undefined;
}

/**
 * A package that provides stores for URL schemes. Its package is called `gantry-transport-SCHEME` (or is one of Gantry's own)
 * and has one as its default export.
 */
export interface Transport {
  /** The schemes that it serves, without the colon, such as `s3`. */
  readonly schemes: readonly string[];
  /**
   * Its stores try again by themselves what may pass, or nothing does. Otherwise whoever opens one wraps it in `withRetry`: Gantry does
   * that with every store that does not say so.
   */
  readonly retries?: boolean;
  /**
   * Opens the store that `address` names. Creates nothing: a place that is not there is reported by the first call that needs it.
   * @throws StoreError `invalid-address`, `denied`, `unavailable`
   */
  open(address: URL, options: OpenOptions): Promise<Store>;
  /**
   * Runs `gantry receive` on the peer that `address` names, and gives the channel to it. Only where the transport can run a program there.
   * @throws StoreError `invalid-address`, `denied`, `unavailable`
   */
  openPeer?(address: URL, options: OpenPeerOptions): Promise<PeerChannel>;
}
