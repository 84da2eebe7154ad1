export type { FailingFileSystem, FailingFileSystemCase, FailingFileSystemOptions } from './failing-file-system.ts';
export { failingFileSystem } from './failing-file-system.ts';
