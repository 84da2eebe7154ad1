import process from 'node:process';
import type { GantryErrorCode } from '@gantry/core';
import { GantryError } from '@gantry/core';

/** What the default export of a transport and of an inventory have in common. */
interface Openable {
  readonly schemes: readonly string[];
}

export type Loaders<T extends Openable> = Readonly<Record<string, () => Promise<T>>>;

/** One kind of package that is chosen by a URL scheme. */
export interface PackageKind<T extends Openable> {
  /** What such a package is called in messages: `transport`. Others' packages are named `gantry-KIND-SCHEME`. */
  readonly kind: 'transport' | 'inventory';
  /** Gantry's own, by scheme. */
  readonly own: Loaders<T>;
  /** What it fails with where no package is installed. */
  readonly notInstalled: GantryErrorCode;
  /** What else the address may have meant: a sentence. */
  readonly otherwise?: string;
}

/**
 * Loads what serves a scheme: one of Gantry's own packages, or another that is installed beside Gantry.
 *
 * @throws GantryError where there is none, or the package is something else
 */
export async function loadPackage<T extends Openable>(scheme: string, { kind, own, notInstalled, otherwise }: PackageKind<T>): Promise<T> {
  const load = own[scheme];
  if (load !== undefined) return await load();
  const packageName = `gantry-${kind}-${scheme}`;
  let loaded: unknown;
  try {
    loaded = await import(packageName);
  } catch (cause) {
    const known = Object.keys(own).join(', ');
    throw new GantryError(notInstalled, {
      message: `no ${kind} for ${scheme}: is installed`,
      hint: [
        `Gantry knows ${known}; others are packages such as ${packageName}, installed beside gantry`,
        ` (which runs from ${process.argv[1] ?? 'here'}).${otherwise === undefined ? '' : ` ${otherwise}`}`,
      ].join(''),
      cause,
    });
  }
  if (isPackage<T>(loaded) && loaded.default.schemes.includes(scheme)) return loaded.default;
  throw new GantryError(notInstalled, {
    message: `the package ${packageName} is not ${kind === 'inventory' ? 'an' : 'a'} ${kind} for ${scheme}:`,
    hint: 'Its default export must have `schemes` and `open`.',
  });
}

function isPackage<T extends Openable>(value: unknown): value is { readonly default: T } {
  if (typeof value !== 'object' || value === null || !('default' in value)) return false;
  const candidate = value.default;
  if (typeof candidate !== 'object' || candidate === null || !('schemes' in candidate) || !('open' in candidate)) return false;
  return Array.isArray(candidate.schemes) && typeof candidate.open === 'function';
}
