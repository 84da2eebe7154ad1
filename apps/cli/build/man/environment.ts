/** Variables that the command reads, for gantry(1). A test compares them with those that the sources read. */
export const ENVIRONMENT: readonly (readonly [name: string, meaning: string])[] = [
  ['GANTRY_CONFIG', 'the configuration file: only this one is read'],
  ['GANTRY_STATE_DIR', 'where locks and the journal are kept; /var/lib/gantry for root'],
  ['GANTRY_OS_PATH', 'directories that are searched for OS definitions first, with colons in between'],
  ['GANTRY_CREATE_STORE', '1: exports create a store where there is none'],
  ['GANTRY_YES', '1: imports and moves overwrite without asking'],
  ['GANTRY_STORE_LOG', 'a file in which every call to a store is logged, one JSON object a line'],
  ['GANTRY_SSH_PASSPHRASE', 'the passphrase of the keys for SSH'],
  ['GANTRY_GANETI_USER', 'the user of the remote API of Ganeti'],
  ['GANTRY_GANETI_PASSWORD', 'the password of that user'],
  ['GANTRY_GANETI_CREDENTIALS', 'a file with both, in the format of netrc(5)'],
  ['GANTRY_GANETI_CA', 'a PEM file with certificates, one of which the server must have or be signed by'],
  ['GANTRY_GANETI_FINGERPRINTS', 'a file with the SHA-256 fingerprints of certificates, one a line'],
  ['GANTRY_GANETI_DOMAIN_SECRET', 'a file with the cluster domain secret, for sending and taking disks through the cluster'],
  ['NODE_DISABLE_COMPILE_CACHE', '1: no compiled code is kept for the next call'],
];
