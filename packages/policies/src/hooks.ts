import type { Policy } from '@gantry/config';
import type { Hook } from '@gantry/core';

/** The hooks of a policy, by the fields of gantry.yaml. */
export type HookName = 'before-snapshot' | 'after-snapshot' | 'on-success' | 'on-failure';

const FIELDS = {
  'before-snapshot': 'beforeSnapshot',
  'after-snapshot': 'afterSnapshot',
  'on-success': 'onSuccess',
  'on-failure': 'onFailure',
} as const satisfies Record<HookName, keyof Policy['hooks']>;

/** What a hook learns, besides the policy and its stores. */
export interface HookFacts {
  readonly instance: string;
  /** `INSTANCE@EXPORT-ID` */
  readonly reference?: string | undefined;
  readonly error?: { readonly code: string; readonly message: string } | undefined;
}

/** A hook of a policy with its environment; undefined if the policy has none of that name. docs/reference/hooks.md */
export function hookOf(
  { name: policy, stores, hooks }: Policy,
  name: HookName,
  { instance, reference, error }: HookFacts,
): Hook | undefined {
  const argv = hooks[FIELDS[name]];
  if (argv === undefined) return undefined;
  const environment = {
    GANTRY_HOOK_POLICY: policy,
    GANTRY_HOOK_INSTANCE: instance,
    GANTRY_HOOK_STORES: stores.join(' '),
    ...(reference === undefined ? {} : { GANTRY_HOOK_EXPORT: reference }),
    ...(error === undefined ? {} : { GANTRY_HOOK_ERROR_CODE: error.code, GANTRY_HOOK_ERROR: printable(error.message) }),
  };
  return { name, argv, timeoutMs: hooks.timeoutMs, environment };
}

/** Messages may have parts that others wrote; a variable cannot have NUL. */
function printable(text: string): string {
  return text.replaceAll('\0', '\uFFFD');
}
