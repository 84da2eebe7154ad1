/** What arguments of commands mean, in short: for help and manual pages. */
export const ADDRESSES: readonly (readonly [word: string, meaning: string])[] = [
  ['instance', 'an instance file, SCHEME:NAME or SCHEME://host/NAME'],
  ['store', 'a directory, or a URL such as file:///srv/exports'],
  ['peer', 'ssh://[user@]host[:port], with gantry installed there'],
  ['export', 'INSTANCE (the newest complete one) or INSTANCE@EXPORT-ID'],
];
