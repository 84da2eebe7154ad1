import type { InventoryNames } from './addresses/instance-address.ts';

/** What opening something may use of its surroundings: handed in, so that nothing here reads globals. */
export interface OpenContext {
  readonly signal: AbortSignal;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What relative paths in addresses count from. */
  readonly cwd: string;
  /** `false`: nothing may be asked on the terminal. `true` by default. */
  readonly mayAsk?: boolean | undefined;
  /** Addresses of sources of instances, by the names that may stand in their place. */
  readonly inventories?: InventoryNames | undefined;
  /** Called with what the user should know although nothing failed. */
  readonly warn: (message: string) => void;
}
