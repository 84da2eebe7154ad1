/** More recipients of one file make no sense, and their headers are read before each part of a file. */
export const MAX_RECIPIENTS = 64;
