/** Of stores, inventories and policies: a word that cannot be a path or a URL. */
export const NAME: RegExp = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/;

/** Whether a store, an inventory or a policy can have this name. */
export function isName(value: string): boolean {
  return NAME.test(value);
}
