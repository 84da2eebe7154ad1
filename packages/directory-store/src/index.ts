export type { DirectoryStoreOptions } from './directory-store.ts';
export { DirectoryStore } from './directory-store.ts';
export type {
  Directory,
  Entry,
  FileKind,
  FileSystem,
  FileSystemCapabilities,
  FileSystemReason,
  FileInfo,
  ReadableFile,
  RootInfo,
  SyncOptions,
  WritableFile,
} from './file-system.ts';
export { FileSystemError, formatMark, isFileSystemError } from './file-system.ts';
