import { showValue } from '../documents/text-types.ts';
import { GantryError } from '../report/errors.ts';

/** The two parts of `os+variant`. */
export interface OsName {
  readonly name: string;
  /** What follows the first `+`; absent without a `+`. */
  readonly variant: string | undefined;
}

/** A superset of what Ganeti accepts (letters, digits, `_` and `-`), and always safe as a component of a path. */
const DEFINITION_NAME = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}$/;
const VARIANT = /^[^\s/\p{Cc}\p{Cf}]{1,255}$/u;

export function isDefinitionName(name: string): boolean {
  return DEFINITION_NAME.test(name);
}

export function isVariant(variant: string): boolean {
  return VARIANT.test(variant);
}

/**
 * Splits an instance's `os`: everything before the first `+` is the definition, everything after it the variant.
 * @throws GantryError `OS_NAME_INVALID`
 */
export function parseOsName(text: string): OsName {
  const plus = text.indexOf('+');
  const name = plus === -1 ? text : text.slice(0, plus);
  const variant = plus === -1 ? undefined : text.slice(plus + 1);
  if (!isDefinitionName(name)) throw invalid(text, 'does not start with a valid definition name');
  if (variant !== undefined && !isVariant(variant)) throw invalid(text, 'does not have a valid variant after the +');
  return { name, variant };
}

function invalid(text: string, what: string): GantryError {
  return new GantryError('OS_NAME_INVALID', {
    message: `OS name ${showValue(text)} ${what}`,
    hint: 'Write os or os+variant; the name of a definition consists of letters, digits, ".", "_" and "-", and does not start with a dot.',
  });
}
