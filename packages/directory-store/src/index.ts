export type { DirectoryStoreOptions } from './directory-store.ts';
export { DirectoryStore } from './directory-store.ts';
export type {
  Directory,
  Entry,
  FileKind,
  FileSystem,
  FileSystemCapabilities,
  FileSystemReason,
  Found,
  ReadableFile,
  RootFound,
  SyncOptions,
  WritableFile,
} from './file-system.ts';
export { FileSystemError, formatMark, isFileSystemError } from './file-system.ts';
