import type { CreateMultipartUploadCommandInput, PutObjectCommandInput, StorageClass } from '@aws-sdk/client-s3';

import type { S3Options } from '../address/options.ts';

/** The name of the metadata entry that tells a store its own object from another's. */
export const WRITE_ID = 'gantry-write';

/** What both ways of writing an object say of it. */
type ObjectSettings = Pick<
  PutObjectCommandInput & CreateMultipartUploadCommandInput,
  | 'ACL'
  | 'ContentType'
  | 'Metadata'
  | 'StorageClass'
  | 'ServerSideEncryption'
  | 'SSEKMSKeyId'
  | 'ObjectLockMode'
  | 'ObjectLockRetainUntilDate'
  | 'Tagging'
>;

/**
 * Below this size, objects stay in the bucket's usual storage class: the cheap classes charge for 128 KiB at least ("Amazon S3
 * pricing"), and manifests in an archive could not be listed or read.
 */
const MIN_STORAGE_CLASS_BYTES = 128 * 1024;

/** What the address asks for, for an object of about `size` bytes that is written now. */
export function objectSettings(options: S3Options, writeId: string, size: number): ObjectSettings {
  const { storageClass, encryption, objectLock, tags, acl } = options;
  return {
    ContentType: 'application/octet-stream',
    Metadata: { [WRITE_ID]: writeId },
    ...(isClass(storageClass) && size >= MIN_STORAGE_CLASS_BYTES ? { StorageClass: storageClass } : {}),
    ...(encryption === undefined ? {} : { ServerSideEncryption: encryption.algorithm }),
    ...(encryption?.kmsKeyId === undefined ? {} : { SSEKMSKeyId: encryption.kmsKeyId }),
    ...(objectLock === undefined
      ? {}
      : { ObjectLockMode: objectLock.mode, ObjectLockRetainUntilDate: retainUntilDate(objectLock.retainUntil) }),
    ...(acl === undefined ? {} : { ACL: acl }),
    ...(tags.size === 0 ? {} : { Tagging: encodeTags(tags) }),
  };
}

/** The SDK's type knows Amazon's classes alone; other services have their own. */
function isClass(name: string | undefined): name is StorageClass {
  return name !== undefined;
}

/** As a query string, but with %20 for spaces: Ceph takes a + for what it is. */
function encodeTags(tags: ReadonlyMap<string, string>): string {
  return [...tags].map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join('&');
}

/** The moment that an object which is written now is kept until. */
export function retainUntilDate(until: NonNullable<S3Options['objectLock']>['retainUntil']): Date {
  return 'date' in until ? until.date : new Date(Date.now() + until.days * 86_400_000);
}
