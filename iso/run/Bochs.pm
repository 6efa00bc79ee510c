# Drives one Bochs: writes its configuration, starts it, under its built-in debugger where it has one, asks that for the tick
# and the screen, and reads from its log how a run ended. Knows nothing of the serial line's content (emulate does).
# Qemu.pm offers the same methods.
package Bochs;
use strict;
use warnings;
use Fcntl ':flock';
use File::Spec;
use IO::Handle;
use IPC::Open2;
use Rfb 'rfb_picture';
use Time::HiRes 'sleep';

# Instructions per emulated second. Fewer make each wait of firmware and GRUB shorter to emulate, but a kernel with 250
# timer ticks a second then has fewer instructions between ticks.
our $IPS = 50_000_000;

# The most of the machine's memory that Bochs 2.7 keeps in its own; what is beyond lies in a file until it is used.
my $HOST_MIB = 2048;

# CPU=skylake_x is enough: the one model whose name contains the word, or the model itself.
sub model_find {
    my ($word) = @_;
    my @models = qx(bochs-bin --help cpu 2>&1) =~ /^([a-z]\w+)$/mg;
    my @found = grep { $_ eq $word } @models;
    @found = grep { index($_, $word) >= 0 } @models unless @found;
    @found == 1 or die "emulate: processor model '$word' is not one of: @models\n";
    return $found[0];
}

sub new {
    my ($class, $opt) = @_;
    my $self = bless { dir => $opt->{dir}, text => '', asks => $opt->{asks}, told => 0 }, $class;
    $self->{model} = model_find($opt->{cpu} // 'corei7_skylake_x');
    $self->config_write($opt);
    return $self;
}

sub describe { return "Bochs, processor $_[0]{model}" }

# Bochs runs in its folder, so that no path is in its configuration, where commas, quotes and dollars have a meaning.
# No sound: where a host has an ALSA without a card, Bochs 2.7's mixer thread overruns a buffer and takes Bochs with it.
sub config_write {
    my ($self, $opt) = @_;
    my $ips = $opt->{ips} // $IPS;
    my $host = $opt->{mem} < $HOST_MIB ? $opt->{mem} : $HOST_MIB;
    $opt->{firmware} eq 'bios' or die "emulate: Bochs has a BIOS only; UEFI needs --emu qemu\n";
    unlink "$self->{dir}/image.iso";
    symlink $opt->{iso}, "$self->{dir}/image.iso" or die "emulate: $self->{dir}/image.iso: $!\n";
    open my $rc, '>', "$self->{dir}/bochsrc" or die "emulate: $self->{dir}/bochsrc: $!\n";
    print $rc <<"END", map { "$_\n" } @{ $opt->{bochs_line} // [] };
memory: guest=$opt->{mem}, host=$host
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
display_library: rfb, options="timeout=0"
cpu: model=$self->{model}, count=$opt->{cpus}, ips=$ips, reset_on_triple_fault=0
clock: sync=none, time0=1767225600
panic: action=fatal
error: action=report
info: action=report
debug: action=ignore
log: bochs.log
boot: cdrom
ata0-master: type=cdrom, path=image.iso, status=inserted
com1: enabled=1, mode=socket-client, dev=127.0.0.1:$opt->{serial_port}
floppya: type=none
mouse: enabled=0
speaker: enabled=0
sound: driver=dummy
vga: extension=vbe, update_freq=1
END
    close $rc or die "emulate: $self->{dir}/bochsrc: $!\n";
}

# Two Bochs that start at the same moment may both bind one port for their display (SO_REUSEADDR), of which only one can
# listen; the other one then tries the further ports with a socket that is bound already, and gives up. So each start waits
# until the one before listens.
sub start {
    my ($self) = @_;
    open my $lock, '>', File::Spec->tmpdir . '/penumbra-bochs.lock' or die "emulate: lock: $!\n";
    flock $lock, LOCK_EX;
    my $pid = $self->launch;
    my $until = time + 10;
    sleep 0.02 while !$self->display_ready && time < $until;
    return $pid;
}

sub display_ready {
    my ($self) = @_;
    open my $log, '<', "$self->{dir}/bochs.log" or return 0;
    return grep { /RFB.*(?:listening for connections|PANIC)/ } <$log>;
}

# Debian's Bochs 2.7 always runs under its debugger; from 3.0 on it is an option, for runs that ask it something.
sub debugger_option {
    my ($self) = @_;
    return $self->{asks} && qx(bochs-bin --help 2>&1) =~ /^\s+-debugger\b/m ? '-debugger' : ();
}

sub launch {
    my ($self) = @_;
    unlink "$self->{dir}/bochs.log";
    my @command = ('bochs-bin', '-q', $self->debugger_option, '-f', 'bochsrc');
    # A group of its own: Ctrl-C typed at the terminal is no business of Bochs.
    $self->{pid} = open2($self->{out}, $self->{in}, 'setsid', 'sh', '-c', 'cd "$1" && shift && exec "$@" 2>&1', 'sh',
        $self->{dir}, @command);
    $self->{in}->autoflush(1);
    $self->tell('c');
    return $self->{pid};
}

# Gives the debugger commands.
sub tell {
    my ($self, @commands) = @_;
    $self->{told} += @commands;
    print { $self->{in} } map { "$_\n" } @commands;
}

sub handles { return $_[0]{out} }

# What Bochs prints belongs to the debugger's dialogue. False at its end. A prompt for more commands than it was given: it has
# stopped the machine by itself, as Bochs 2.7 does before the reset of a triple fault. The machine goes on.
sub handle_read {
    my ($self) = @_;
    my $count = sysread $self->{out}, $self->{text}, 65536, length $self->{text};
    $self->{text} =~ /<bochs:(\d+)> \z/ && $1 > $self->{told} and $self->tell('c');
    return $count;
}

# Stops the machine, gives the debugger commands, and returns its answer; the machine goes on.
sub ask {
    my ($self, $end, @commands) = @_;
    local $SIG{PIPE} = 'IGNORE';
    $self->{text} = '';
    kill INT => $self->{pid};
    $self->tell(@commands, 'c');
    my $until = time + 20;
    while ($self->{text} !~ $end && time < $until) {
        my $ready = '';
        vec($ready, fileno $self->{out}, 1) = 1;
        select($ready, undef, undef, 1) > 0 or next;
        $self->handle_read or last;
    }
    return $self->{text};
}

sub ticks_now {
    my ($self) = @_;
    my ($ticks) = $self->ask(qr/ptime: \d+/, 'ptime') =~ /ptime: (\d+)/;
    return $ticks;
}

# The 80x25 text screen, from the words at 0xB8000.
sub screen_text {
    my ($self) = @_;
    my $answer = $self->ask(qr/ptime: \d+/, 'xp /4000bx 0xb8000', 'ptime');
    my @bytes;
    for (split /\n/, $answer) {
        s/^(<bochs:\d+> )?0x[0-9a-f]+ <bogus\+\s*\d+>:// or next;
        push @bytes, map { hex } split;
    }
    return join '', map { $_ % 2 ? '' : chr $bytes[$_] } 0 .. $#bytes;
}

# A picture of the screen, as whoever looks at it by VNC would have it.
sub picture {
    my ($self, $file) = @_;
    open my $log, '<', "$self->{dir}/bochs.log" or die "emulate: no log of Bochs\n";
    my ($port) = map { /RFB.*listening for connections on port (\d+)/ ? $1 : () } <$log>;
    rfb_picture($port // die("emulate: this Bochs shows its screen nowhere\n"), $file);
}

# The end of what Bochs itself has printed. $ended: wait for the end of it.
sub last_words {
    my ($self, $ended) = @_;
    1 while $ended && $self->handle_read;
    my @lines = grep { /\S/ } split /\n/, $self->{text};
    return map { "  $_\n" } @lines > 8 ? @lines[-8 .. -1] : @lines;
}

sub stop {
    my ($self) = @_;
    local $SIG{PIPE} = 'IGNORE';
    kill INT => $self->{pid};
    $self->tell('q');
}

# Bochs always exits with 1; its log says why, each line with the tick before it.
sub result {
    my ($self) = @_;
    open my $log, '<', "$self->{dir}/bochs.log" or return ('crash', undef, 'no log of Bochs');
    my ($ticks, $end, $panic) = (undef, 'crash', 'Bochs ended without a reason in its log');
    while (<$log>) {
        /^(\d{11,})/ and $ticks = $1 + 0;
        /shutdown requested/ and ($end, $panic) = ('shutdown', undef);
        /soft power off/ and ($end, $panic) = ('poweroff', undef);
        $end eq 'crash' && /^\d+p.*>>PANIC<< *(.*)/ and $panic = $1;
    }
    $panic = join "\n", $panic, $self->last_words if $end eq 'crash';
    return ($end, $ticks, $panic);
}

1;
