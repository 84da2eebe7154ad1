import type { ChannelEnd } from './channel.ts';
import { PeerError } from './peer-error.ts';
import { shownText } from './shown-text.ts';

/** Exit statuses of a shell for a program that is missing or not executable (POSIX, Shell Command Language, 2.8.2). */
const NO_PROGRAM: ReadonlySet<number> = new Set([126, 127]);

const NEEDS_SFTP = 'Its sshd_config needs a line "Subsystem sftp internal-sftp", and the account must be allowed to use it.';

/**
 * Why an SFTP session ended that was not closed on this side.
 * @param isGreeted whether the peer's SFTP server had answered before
 */
export function explainSftpEnd({ error, exitCode, stderr }: ChannelEnd, isGreeted: boolean): PeerError {
  if (error !== undefined) return error;
  const said = shownText(stderr);
  // sshd does not pass on the stderr of a subsystem; other servers may.
  const words = said === '' ? '' : `: ${said}`;
  if (isGreeted)
    return new PeerError('unavailable', {
      message:
        exitCode === undefined ? 'the peer closed the connection' : `the SFTP server of the peer ended with status ${exitCode}${words}`,
      hint: "Check the log of the peer's sshd.",
    });
  if (exitCode !== undefined && NO_PROGRAM.has(exitCode))
    return new PeerError('unsupported', {
      message: `the peer cannot start its SFTP server (status ${exitCode}${words})`,
      hint: NEEDS_SFTP,
    });
  if (exitCode !== undefined)
    return new PeerError('unsupported', {
      message: `the peer does not offer SFTP to this account: it ended with status ${exitCode}${words}`,
      hint: `${NEEDS_SFTP} Its login shell must not refuse it (nologin).`,
    });
  return new PeerError('unavailable', { message: `the peer closed the connection before SFTP began${words}` });
}

/** The peer sent text instead of SFTP. */
export function notSftpError(text: string): PeerError {
  return new PeerError('unsupported', {
    message: `the peer sent text instead of SFTP: ${shownText(text)}`,
    hint:
      "The account's shell, .bashrc or ForceCommand prints it: make it print nothing without a terminal. " +
      'With "Subsystem sftp internal-sftp" in sshd_config, SFTP does not use a shell.',
  });
}
