import type { Mutant } from '../mutant.ts';
import { mutantsOf } from '../mutant.ts';

const DIRECTORY_TESTS = {
  conformance: 'packages/directory-store/src/conformance.test.ts',
  failing: 'packages/transport-file/src/failing-file-system.test.ts',
  file: 'packages/transport-file/src/file-store-limits.test.ts',
  order: 'packages/transport-file/src/durability.test.ts',
  planted: 'packages/transport-file/src/planted.test.ts',
  powerCut: 'packages/directory-store/src/power-cut.test.ts',
} as const;

/** A store in a directory, local or over SFTP. */
const DIRECTORY_GUARDS: readonly Mutant[] = mutantsOf('packages/directory-store/src', DIRECTORY_TESTS, [
  [
    'an object has the size and the SHA-256 that its writer says',
    'unfinished/unfinished-write.ts',
    'if (size === this.#written && sha256 === actual) return;',
    'if (size >= 0) return;',
    'conformance',
  ],
  [
    'the file of an object has what was written',
    'unfinished/unfinished-write.ts',
    'if (found.size === this.#written) return objectInfo(this.key, found);',
    'if (found.size >= 0) return objectInfo(this.key, found);',
    'file',
  ],
  [
    'a store that was unmounted meanwhile is not written to',
    'unfinished/unfinished-write.ts',
    'const [found] = await Promise.all([this.#file.finish(), this.#root.assertSame()]);',
    'const [found] = await Promise.all([this.#file.finish()]);',
    'failing',
  ],
  [
    'a write that failed cannot be committed',
    'unfinished/unfinished-write.ts',
    "if (this.#state === 'open') return;\n    throw new StoreError('unsupported', { message: `cannot use",
    "if (this.#state !== 'ended') return;\n    throw new StoreError('unsupported', { message: `cannot use",
    'conformance',
  ],
  [
    'an object is not replaced where it must be new',
    'commit.ts',
    "if (ifExists === 'fail') await directory.link",
    "if (data === '') await directory.link",
    'conformance',
  ],
  ['the name of an object is durable', 'commit.ts', 'return await path.sync();', 'return true;', 'powerCut'],
  [
    'a name that cannot be made durable is taken back',
    'commit.ts',
    'await path.leaf.remove(path.name).catch(() => undefined);',
    '',
    'order',
  ],
  [
    'the directories above a new object are durable',
    'paths.ts',
    '[...this.#directories.toReversed(), this.#root].map((directory) => directory.sync())',
    '[this.leaf].map((directory) => directory.sync())',
    'powerCut',
  ],
  ['a removal is durable', 'removal.ts', 'await open.sync();', '', 'powerCut'],
  [
    'bytes count as durable when they are',
    'unfinished/durable-progress.ts',
    'await this.#file.sync({ bytes, mark: this.#mark, writing });',
    '',
    'powerCut',
  ],
  [
    'durable bytes can be found by name after a power cut',
    'unfinished/durable-progress.ts',
    'await this.#named;\n    this.#durableBytes',
    'this.#durableBytes',
    'powerCut',
  ],
  [
    'a sync that failed fails the write',
    'unfinished/durable-progress.ts',
    'if (this.#failure !== undefined) throw this.#failure.error;',
    '',
    'order',
  ],
  [
    'unfinished writes are not made where others could replace them',
    'unfinished/write-directory.ts',
    'if (!foreign && ((found.mode ?? 0) & WRITABLE_BY_OTHERS) === 0) return;',
    "if (path !== '') return;",
    'planted',
  ],
  [
    'a record of an unfinished write names only its own data',
    'unfinished/record.ts',
    "if (typeof data !== 'string' || !DATA_NAME.test(data)) return undefined;",
    "if (typeof data !== 'string') return undefined;",
    'planted',
  ],
  ['an object that shrinks while it is read is found', 'object-source.ts', 'if (done < this.length) throw this.#shrunk(done);', '', 'file'],
]);

const FILE_GUARDS: readonly Mutant[] = mutantsOf('packages/transport-file/src', DIRECTORY_TESTS, [
  [
    'a link inside of a store is not followed',
    'node-directory.ts',
    'const WALK = O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW;',
    'const WALK = O_PATH | constants.O_DIRECTORY;',
    'file',
  ],
  [
    'an object that is a link is not read',
    'node-directory.ts',
    'const READ = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;',
    'const READ = constants.O_RDONLY | constants.O_NONBLOCK;',
    'file',
  ],
  [
    'a link at the name of a new file is not followed',
    'node-directory.ts',
    'const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;',
    'const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC;',
    'planted',
  ],
  ['objects are for their owner alone', 'node-directory.ts', 'const FILE_MODE = 0o600;', 'const FILE_MODE = 0o644;', 'file'],
  ['a finished file is on disk before it gets its name', 'node-files.ts', 'await calling(this.#file.sync());', '', 'order'],
  ['the names in a directory are synced', 'node-directory.ts', 'await directory.sync();\n      return true;', 'return true;', 'order'],
  ['the name of a new store is durable', 'node-file-system.ts', 'await above.sync();', '', 'order'],
]);

const CONTRACT_TESTS = { key: 'packages/transport/src/key.test.ts' } as const;

const CONTRACT_GUARDS: readonly Mutant[] = mutantsOf('packages/transport/src', CONTRACT_TESTS, [
  [
    'a key cannot lead outside of the store',
    'key.ts',
    'if (key.length > MAX_KEY_LENGTH || !key.split',
    'if (key.length > MAX_KEY_LENGTH && !key.split',
    'key',
  ],
  [
    'a prefix cannot lead outside of the store',
    'key.ts',
    "!prefix.slice(0, -1).split('/').every(isKeyPart)) {",
    "prefix === '/') {",
    'key',
  ],
]);

const S3_TESTS = {
  faults: 'packages/transport-s3/src/faults.test.ts',
  guards: 'packages/transport-s3/src/guards.test.ts',
  createOnly: 'packages/transport-s3/src/create-only.test.ts',
  listing: 'packages/transport-s3/src/read/listing.test.ts',
  marks: 'packages/transport-s3/src/commit-marks.test.ts',
} as const;

/** Services that are not taken at their word. */
const S3_GUARDS: readonly Mutant[] = mutantsOf('packages/transport-s3/src', S3_TESTS, [
  [
    'a service has the bytes that were sent, by its ETag',
    'requests/etag.ts',
    'if (expected === undefined || sameEtag(bucket, answer, expected)) return;',
    'if (attempt > 0) return;',
    'faults',
  ],
  [
    'an object in a bucket has the size and the SHA-256 that its writer says',
    'write/s3-write.ts',
    'if (size === this.#received && sha256 === arrived) return;',
    'if (size >= 0) return;',
    'guards',
  ],
  [
    'an object is looked for after it was written',
    'write/commit-object.ts',
    "if (found === undefined) throw notKept(bucket, key, 'it is not there');\n      if (found.size !== size) throw",
    'if (found === undefined) return new Date();\n      if (found.size < 0) throw',
    'guards',
  ],
  [
    "another writer's object is not taken for this one's when an answer is lost",
    'write/commit-object.ts',
    'if (found.writeId === writeId) return await verify',
    "if (found.writeId !== '') return await verify",
    'createOnly',
  ],
  [
    'an object is not put together from two when it is replaced while it is read',
    'read/ranged-read.ts',
    'if (comparableEtag(given) !== comparableEtag(etag)) {',
    "if (given === '') {",
    'guards',
  ],
  [
    'a body that breaks off is read again',
    'read/ranged-read.ts',
    'if (reached === range.to) return;',
    'if (reached >= range.from) return;',
    'faults',
  ],
  [
    'a listing that repeats itself ends',
    'read/listing.ts',
    'if (this.#last !== undefined && Buffer.compare(this.#last, bytes) >= 0) throw',
    'if (bytes.length < 0) throw',
    'listing',
  ],
]);

const SSH_TESTS = {
  hostKeys: 'packages/transport-ssh/src/trust/host-keys.test.ts',
  known: 'packages/transport-ssh/src/trust/known-hosts.test.ts',
  splitter: 'packages/transport-ssh/src/sftp/packet-splitter.test.ts',
} as const;

const SSH_GUARDS: readonly Mutant[] = mutantsOf('packages/transport-ssh/src', SSH_TESTS, [
  [
    'an unknown host key is refused',
    'trust/host-key-check.ts',
    "if (verdict === 'known') return;",
    "if (verdict === 'known' || verdict === 'unknown') return;",
    'hostKeys',
  ],
  [
    'a host key that changed is refused',
    'trust/host-key-check.ts',
    "if (verdict === 'unknown' && this.#options.policy === 'accept-new') return this.#remember(key);",
    "if (verdict !== 'revoked' && this.#options.policy === 'accept-new') return this.#remember(key);",
    'hostKeys',
  ],
  [
    'a revoked host key is refused',
    'trust/known-hosts.ts',
    "if (same.some(({ marker }) => marker === 'revoked')) return 'revoked';",
    '',
    'known',
  ],
  [
    'a name that a line excludes does not match it',
    'trust/known-hosts.ts',
    'if (patternMatches(pattern.slice(1), name)) return false;',
    '',
    'known',
  ],
  [
    'a packet of a peer has a limit',
    'sftp/packet-splitter.ts',
    'if (length === 0 || length > MAX_PACKET_BYTES) throw',
    'if (length === 0) throw',
    'splitter',
  ],
]);

const AGE_TESTS = {
  damage: 'packages/age/src/damage.test.ts',
  passphrase: 'packages/age/src/passphrase.test.ts',
  vectors: 'packages/age/src/vectors.test.ts',
} as const;

const AGE_GUARDS: readonly Mutant[] = mutantsOf('packages/age/src', AGE_TESTS, [
  [
    'an encrypted block is used only if it is authentic',
    'block-job.ts',
    'else if (block.length < TAG_BYTES || !cipher.open(key, nonce, block)) return',
    'else if (block.length < TAG_BYTES || (!cipher.open(key, nonce, block) && index < 0)) return',
    'damage',
  ],
  [
    'the last block of a file is known to be the last',
    'payload.ts',
    'nonce[11] = isLast ? 1 : 0;',
    'nonce[11] = isLast ? 0 : 0;',
    'vectors',
  ],
  [
    'an encrypted file that is cut off is found',
    'sealed-file.ts',
    "if (pushed < bytes) throw new AgeError('damaged', `the file is cut off",
    "if (pushed < 0) throw new AgeError('damaged', `the file is cut off",
    'damage',
  ],
  [
    'deriving a key from a passphrase has a limit',
    'scrypt.ts',
    'if (Number(factor) > MAX_WORK_FACTOR)',
    'if (Number(factor) < 0)',
    'passphrase',
  ],
]);

const CONFIG_TESTS = { load: 'packages/config/src/file/load.test.ts' } as const;

const CONFIG_GUARDS: readonly Mutant[] = mutantsOf('packages/config/src', CONFIG_TESTS, [
  [
    'a configuration that others could change is not used',
    'file/files.ts',
    '(mode & 0o022) === 0 ? undefined',
    '(mode & 0o022) >= 0 ? undefined',
    'load',
  ],
]);

export const STORE_GUARDS: readonly Mutant[] = [
  ...DIRECTORY_GUARDS,
  ...FILE_GUARDS,
  ...CONTRACT_GUARDS,
  ...S3_GUARDS,
  ...SSH_GUARDS,
  ...AGE_GUARDS,
  ...CONFIG_GUARDS,
];
