# Drives one QEMU: builds its command line, reads the reason of its end from its control channel (QMP), and asks it for
# the screen. Knows nothing of the serial line's content (emulate does). Bochs.pm offers the same methods.
package Qemu;
use strict;
use warnings;
use IO::Socket::INET;

my $OVMF = '/usr/share/OVMF/OVMF_CODE_4M.fd';
my $OVMF_VARIABLES = '/usr/share/OVMF/OVMF_VARS_4M.fd';

sub new {
    my ($class, $opt) = @_;
    my $self = bless { dir => $opt->{dir}, opt => $opt, text => '', end => 'crash' }, $class;
    $self->{listener} = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "emulate: listen: $!\n";
    return $self;
}

# KVM hides the invariant time stamp counter unless the guest is never to migrate: without it neither the monitor's clock nor a
# kernel's is the one that a bare machine has.
my %CPU = (kvm => 'host,migratable=off,+invtsc', tcg => 'max');

sub cpu { return $_[0]{opt}{cpu} // $CPU{ $_[0]{opt}{accel} } }

sub describe {
    my ($self) = @_;
    my %accel = (kvm => 'KVM', tcg => 'TCG, no KVM');
    return "QEMU ($accel{$self->{opt}{accel}}), processor " . $self->cpu . ", \U$self->{opt}{firmware}";
}

# UEFI keeps its variables in a flash of its own: each run gets a copy.
sub firmware_args {
    my ($self) = @_;
    return () if $self->{opt}{firmware} eq 'bios';
    my $variables = "$self->{dir}/variables.fd";
    my $option = $variables =~ s/,/,,/gr; # how a comma is written in an option
    system('cp', $OVMF_VARIABLES, $variables) == 0 or die "emulate: no OVMF: iso/setup test installs it\n";
    return ('-drive', "if=pflash,format=raw,readonly=on,file=$OVMF", '-drive', "if=pflash,format=raw,file=$option");
}

sub command {
    my ($self) = @_;
    my $opt = $self->{opt};
    my $channel = $self->{listener}->sockport;
    return (
        'qemu-system-x86_64', '-nodefaults', '-machine', "pc,accel=$opt->{accel}", '-cpu', $self->cpu,
        '-smp', $opt->{cpus}, '-m', "$opt->{mem}M", '-display', 'none', '-vga', 'std', '-cdrom', $opt->{iso}, '-boot', 'd',
        '-chardev', "socket,id=com1,host=127.0.0.1,port=$opt->{serial_port}", $opt->{'no-serial'} ? () : ('-serial', 'chardev:com1'),
        '-chardev', "socket,id=control,host=127.0.0.1,port=$channel", '-mon', 'chardev=control,mode=control',
        '-device', 'isa-debug-exit,iobase=0xf4,iosize=4', $opt->{interactive} ? () : '-no-reboot',
        $self->firmware_args, @{ $opt->{qemu_arg} // [] });
}

sub start {
    my ($self) = @_;
    my @command = $self->command;
    my $pid = fork // die "emulate: fork: $!\n";
    if (!$pid) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', "$self->{dir}/qemu.log";
        open STDERR, '>&', \*STDOUT;
        setpgrp;
        exec @command or exit 127;
    }
    $self->{pid} = $pid;
    $self->{listener}->timeout(10);
    $self->{out} = $self->{listener}->accept or die "emulate: QEMU did not start: " . $self->log_text . "\n";
    $self->say('{"execute":"qmp_capabilities"}');
    return $pid;
}

sub log_text {
    my ($self) = @_;
    open my $log, '<', "$self->{dir}/qemu.log" or return 'no log';
    local $/;
    return scalar <$log> // '';
}

sub last_words { return map { "  $_\n" } split /\n/, $_[0]->log_text }

sub handles { return $_[0]{out} }

sub say {
    my ($self, $line) = @_;
    local $SIG{PIPE} = 'IGNORE';
    syswrite $self->{out}, "$line\n";
}

my %END = ('guest-shutdown' => 'poweroff', 'guest-reset' => 'reset', 'guest-panic' => 'crash');

sub handle_read {
    my ($self) = @_;
    my $count = sysread $self->{out}, $self->{text}, 65536, length $self->{text};
    $self->{text} =~ /"event": "SHUTDOWN".*?"reason": "([\w-]+)"/s and $self->{end} = $END{$1} // $self->{end};
    return $count;
}

sub ticks_now { return undef }

# A person's command of QEMU's monitor; returns when it is done.
sub ask {
    my ($self, $command) = @_;
    $self->{text} = '';
    $self->say(qq({"execute":"human-monitor-command","arguments":{"command-line":"$command"},"id":"asked"}));
    1 while $self->{text} !~ /"id": "asked"/ && $self->handle_read;
}

# The 80x25 text screen, from the words at 0xB8000. The picture lies beside it, since under UEFI there is no text mode.
sub screen_text {
    my ($self) = @_;
    $self->ask("pmemsave 0xb8000 4000 \\\"$self->{dir}/text\\\""); # quoted inside JSON: a bare path is a division
    $self->picture($self->screen_picture);
    open my $in, '<:raw', "$self->{dir}/text" or return '';
    local $/;
    return join '', map { chr($_ & 0xff) } unpack 'v*', <$in> // '';
}

sub picture {
    my ($self, $file) = @_;
    $self->ask("screendump \\\"$file\\\"");
}

sub screen_picture { return "$_[0]{dir}/screen.ppm" }

sub stop { kill TERM => $_[0]{pid} }

# isa-debug-exit ends QEMU with 2 * value + 1.
sub result {
    my ($self, $status) = @_;
    my $code = $status >> 8;
    return ('shutdown', undef, 'port 0xF4 got ' . ($code >> 1)) if $code & 1 && $self->{end} eq 'crash' && !$self->log_text;
    return ($self->{end}, undef, $self->{end} eq 'crash' ? $self->log_text : undef);
}

1;
