import type { ChannelEnd } from './channel.ts';
import { PeerError } from './peer-error.ts';
import { shownText } from './shown-text.ts';

/** With which a shell says that there is no such program, or that it may not be run (POSIX, Shell Command Language, 2.8.2). */
const NO_PROGRAM: ReadonlySet<number> = new Set([126, 127]);

const NEEDS_SFTP = 'Its sshd_config needs a line "Subsystem sftp internal-sftp", and the account must be allowed to use it.';

/**
 * Why an SFTP session is over that nobody ended here.
 * @param isGreeted whether the peer's SFTP server had answered before
 */
export function explainSftpEnd({ error, exitCode, stderr }: ChannelEnd, isGreeted: boolean): PeerError {
  if (error !== undefined) return error;
  const said = shownText(stderr);
  // sshd passes on no stderr of a subsystem; others may.
  const words = said === '' ? '' : `: ${said}`;
  if (isGreeted)
    return new PeerError('unavailable', {
      message:
        exitCode === undefined ? 'the peer closed the connection' : `the SFTP server of the peer ended with status ${exitCode}${words}`,
      hint: "Look at the log of the peer's sshd.",
    });
  if (exitCode !== undefined && NO_PROGRAM.has(exitCode))
    return new PeerError('unsupported', {
      message: `the SFTP server of the peer cannot be started (status ${exitCode}${words})`,
      hint: NEEDS_SFTP,
    });
  if (exitCode !== undefined)
    return new PeerError('unsupported', {
      message: `the peer offers no SFTP to this account: what it started ended with status ${exitCode}${words}`,
      hint: `${NEEDS_SFTP} Its login shell must not refuse it (nologin).`,
    });
  return new PeerError('unavailable', { message: `the peer closed the connection before SFTP began${words}` });
}

/** What came is text, where SFTP should begin. */
export function notSftpError(text: string): PeerError {
  return new PeerError('unsupported', {
    message: `the peer answered with text where SFTP should begin: ${shownText(text)}`,
    hint:
      "The account's shell, .bashrc or ForceCommand prints it: let it print nothing where there is no terminal. " +
      'With "Subsystem sftp internal-sftp" in sshd_config no shell is run at all.',
  });
}
