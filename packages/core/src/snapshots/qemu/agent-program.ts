/*
 * The program that freezes a guest through its agent, and thaws it: a process of its own, so that the guest is thawed in time also if
 * Gantry is killed or stopped in between. In Perl for the reasons of docs/decisions/0026-programs-wait-for-the-journal.md: it is on every
 * machine, and starts within milliseconds. QEMU's docs/interop/qemu-ga-ref.html has the commands.
 *
 * Arguments: `freeze` or `thaw`, the agent's socket, seconds for an answer, seconds that the guest may be frozen at most. With `freeze` it
 * writes `frozen` when the guest is, and thaws it when its stdin ends or the time is over; then it writes `thawed` or `late`. What
 * fails is written in a line of its own, and its status is not 0 then: 3 if the guest may still be frozen, 4 if nobody listens at the socket.
 * With 3 after `freeze`, a child of it goes on in the same process group: it thaws as soon as the agent answers, for 30 times the seconds.
 */
export const AGENT_PROGRAM: string = String.raw`
use strict;
use IO::Socket::UNIX;
my ($mode, $path, $answer_s, $frozen_s) = @ARGV;
# It ends by itself, and with the guest thawed: soon after the process that started it has ended.
$SIG{$_} = 'IGNORE' for qw(TERM INT HUP PIPE);
$SIG{ALRM} = sub { die "did not answer in time\n" };
$| = 1;
my ($agent, $received, $heeds_input, $is_gone) = (undef, '', 0, 0);

sub say_line { print "$_[0]\n" }
# Ends what is waited for when the program that started this one ends, or has what it wanted.
sub wait_for_agent {
  my $ready = '';
  vec($ready, fileno($_), 1) = 1 for $agent, *STDIN;
  return unless select($ready, undef, undef, undef) > 0 && vec($ready, fileno(STDIN), 1);
  sysread(STDIN, my $ignored, 64) or die "is not waited for any more\n";
}
sub next_line {
  until ($received =~ /\n/) {
    length($received) < 65536 or die "sent more than 65536 bytes without an end of line\n";
    wait_for_agent() if $heeds_input;
    sysread($agent, $received, 4096, length $received) or die "closed the connection\n";
  }
  (my $line, $received) = split /\n/, $received, 2;
  return $line;
}
sub send_all {
  my ($text) = @_;
  defined(my $sent = syswrite($agent, $text)) or die "closed the connection\n";
  $sent == length $text or die "takes no commands\n";
}
# What comes before the mark of this answer belongs to somebody else's questions.
sub synchronize {
  my $id = int(rand(2 ** 31));
  send_all(qq(\xFF{"execute":"guest-sync-delimited","arguments":{"id":$id}}\n));
  1 until next_line() =~ /^.*\xFF\s*\{\s*"return"\s*:\s*$id\s*\}/s;
}
sub ask {
  my ($command) = @_;
  send_all(qq({"execute":"$command"}\n));
  my $answer = next_line();
  return if $answer =~ /"return"/;
  die "refused $command" . ($answer =~ /"desc"\s*:\s*"([^"]*)"/ ? ": $1" : '') . "\n";
}
# True if it has succeeded; else what failed is said.
sub within {
  my ($seconds, $work) = @_;
  my $done = eval { alarm $seconds; $work->(); alarm 0; 1 };
  my $why = $@;
  alarm 0;
  say_line("the guest agent at $path $why" =~ s/\s+$//r) unless $done;
  return $done;
}
sub connect_agent {
  ($agent, $received) = (undef, '');
  $agent = IO::Socket::UNIX->new(Peer => $path) or do {
    $is_gone = $!{ENOENT} || $!{ECONNREFUSED};
    die "cannot be reached: $!\n";
  };
  synchronize();
}
sub thaw { within($answer_s, sub { synchronize(); ask('guest-fsfreeze-thaw') }) }
# An agent that hung freezes when it goes on, if that is what it was asked. Our end is waited for, so a child does this.
sub go_on_thawing {
  my $child = fork();
  return if !defined $child || $child;
  open(STDIN, '<', '/dev/null');
  open(STDOUT, '>', '/dev/null');
  my $end = time + 30 * ($answer_s + $frozen_s);
  while (time < $end) {
    # For others to get to the agent.
    $agent = undef;
    sleep 1;
    within($answer_s, sub { connect_agent(); ask('guest-fsfreeze-thaw') }) and exit 0;
    # With the QEMU, the frozen guest has gone.
    exit 0 if $is_gone;
  }
  exit 3;
}

within($answer_s, \&connect_agent) or exit($is_gone ? 4 : 1);
if ($mode eq 'thaw') { exit(thaw() ? 0 : 3) }
my ($is_frozen, $refusal) = (0, '');
my $in_time = eval {
  alarm $frozen_s;
  $heeds_input = 1;
  eval { ask('guest-fsfreeze-freeze'); $is_frozen = 1 } or $refusal = $@;
  $heeds_input = 0;
  if ($is_frozen) {
    say_line('frozen');
    # Its end, and nothing else, is what is waited for.
    1 while sysread(STDIN, my $ignored, 64);
  }
  alarm 0;
  1;
};
alarm 0;
if (!$is_frozen && $refusal =~ /^refused/) { say_line("the guest agent at $path " . $refusal =~ s/\s+$//r); exit 1 }
if (!thaw()) { go_on_thawing(); exit 3 }
if (!$is_frozen) { say_line("the guest agent at $path did not freeze the guest within $frozen_s s"); exit 1 }
say_line($in_time ? 'thawed' : 'late');
`;
