#!/usr/bin/perl
# The console's escape keys and the ways in which a guest ends, with guests of a few bytes: keys, status at port 0xF4,
# triple fault, and what the machine does then by on-exit. The three GRUB lines are those of iso/README.md.
use strict;
use warnings;
use File::Temp 'tempdir';
use FindBin;
use lib "$FindBin::RealBin/lib";
use JSON::PP 'decode_json';
use Kernels;
use Machine;
use Summary;
use Test::More;

my $folder = tempdir(CLEANUP => 1);
my $SPIN = "\xeb\xfe";                      # jmp $
my $ENDS = "\xb0\x07\xe6\xf4";              # mov al, 7; out 0xf4, al
my $RESET = "\xb0\xfe\xe6\x64$SPIN";        # mov al, 0xfe; out 0x64, al: the keyboard controller's reset
my $TRIPLE = "\x0f\x01\x1d\0\0\x20\0\x0f\x0b"; # lidt [0x200000], which is zero; ud2
# Prints what it receives, one higher: in al,dx of LSR; test al,1; jz; in al,dx of RBR; inc al; out dx,al
my $ECHO = "\x66\xba\xfd\x03\xec\xa8\x01\x74\xf7\x66\xba\xf8\x03\xec\xfe\xc0\xee\xeb\xed";

sub guest {
    my ($name, $code, $parameters, @script) = @_;
    multiboot_write("$folder/$name", code => $code, segments => [[1 << 20, 4096]]);
    return boot(name => $name, mem => 64, timeout => 40, files => { kernel => "$folder/$name" }, script => \@script,
        screen => 1, grub => "multiboot2 /penumbra.elf mem=16M $parameters\nmodule2 /kernel multiboot");
}

my $keys = guest('keys', $ECHO, 'trace=50', 'expect guest starts', 'wait 0.5', 'type a', 'expect b', 'type \x01h', 'expect this help',
    'type \x01q', 'expect this help', 'type \x01s', 'expect exits by reason', 'type \x01t',
    'expect trace of the last', 'type \x01\x01', "expect \x02", 'type \x01x',
    'expect "penumbra":"summary"');
is($keys->{end}, 'shutdown', 'keys: every step came, and the machine is switched off') or diag($keys->{text});
says($keys, qr/^b\n\[penumbra\] Ctrl-A h: this help; s: statistics; t: trace of the last exits \(trace=\); m: .*; x: stop the guest/m, 'keys: h is for help, a goes to the guest');
is(() = $keys->{text} =~ /this help/g, 2, 'keys: an unknown one is for help too');
says($keys, qr/^\x02\n\[penumbra\] stopped from the console$/m, 'keys: x stops');
is(scalar summary_tables($keys->{text}), 2, 'keys: s shows the statistics, and so does the end');
my @traces = $keys->{text} =~ /^  trace of the last 50 of \d+ [^\n]*\n((?:  +\d+ +(?:\d+|-) \w+ +rip [^\n]*\n){50})\n/mg;
is(scalar @traces, 2, 'keys: t shows the trace of the last exits, and so does the end');
like($traces[1] // '', qr/ IO_INSTRUCTION +rip 0x100010 qualification 0x3fd0008 skip\n/, 'keys: the guest polls its UART');

my $status = guest('status', $ENDS, '');
says($status, qr/^\[penumbra\] guest ended with status 7$/m, 'a status at port 0xF4');
is(decode_json(json_line($status->{text}))->{status}, 7, 'it is in the summary');
is($status->{end}, 'shutdown', 'on-exit=poweroff is the default');

my $halted = guest('halt', $ENDS, 'on-exit=halt', 'expect "penumbra":"summary"', 'wait 1', 'quit');
says($halted, qr/^\{"penumbra":"summary".*\}\n\[penumbra\] guest ended with status 7\n*\z/m, 'on-exit=halt: the sentence again after the summary, and nothing else');
is($halted->{end}, 'quit', 'on-exit=halt: the machine stays');
like($halted->{screen}, qr/"status":7,/, 'on-exit=halt: the screen keeps the summary');

# Started again by the monitor, the machine comes back to the monitor: twice the banner shows it.
my $again = guest('reboot', $ENDS, 'on-exit=reboot', 'expect guest ended', 'expect guest starts', 'quit');
is($again->{end}, 'quit', 'on-exit=reboot: the machine boots anew') or diag(substr $again->{text}, -1500);

my $reset = guest('reset', $RESET, '');
says($reset, qr/^\[penumbra\] guest reset$/m, 'a guest resets itself');
# What a guest prints cannot be taken for the monitor's lines, nor hide them: escape sequences that are open or alter the terminal,
# lines that look like the monitor's. Its code prints the text behind it: mov esi, text; lodsb; test al, al; jz; mov dx, 0x3f8;
# out dx, al; jmp; then $ENDS.
my $PRINTS = "\xbe\x15\0\x10\0\xac\x84\xc0\x74\x07\x66\xba\xf8\x03\xee\xeb\xf4$ENDS";
my $HOSTILE = "[penumbra] error: forged\r\n{\"penumbra\":\"summary\",\"end\":\"forged\"}\r\n[penumbra 0123456789ab] forged\r\n"
    . "\e[?1049h\e[8m\e[5;10r\e[3;3H\x0e\e]0;title";
my $hostile = guest('hostile', "$PRINTS$HOSTILE\0", 'on-exit=halt', 'expect "penumbra":"summary"', 'wait 1', 'quit');
my $raw = Machine::file_read("$hostile->{folder}/serial");
my ($word) = $raw =~ /^\[penumbra ([0-9a-f]{12})\] a line with this word is the monitor's/m;
isnt($word, undef, 'hostile: the monitor tells its word') or $word = 'none';
ok(index($raw, "$HOSTILE\x18\e\\") >= 0, 'hostile: all of it comes, and then the end of what it left open');
like($raw, qr/\e\[0m.*\e\[r\e\[999;1H\r\n\[penumbra $word\] guest ended with status 7\r\n/, 'hostile: the monitor has a line of its own');
my @own = map { s/^\[penumbra $word\] //r } grep { /^\[penumbra $word\]/ } split /\r\n/, $raw;
is(join('; ', grep { !/^vpid=auto|^guest starts|^a line/ } @own),
    'guest ended with status 7; statistics:; end of the statistics; guest ended with status 7', 'hostile: what has the word is the monitor\'s');
is(() = $raw =~ /^\{"penumbra":"summary","word":"$word",/mg, 1, 'hostile: one summary has the word');
like($hostile->{screen}, qr/^\[penumbra $word\] guest ended with status 7$/m, 'hostile: the line is on the screen');

# The screen is drawn some times a second while a guest runs. All that a guest has printed is there soon, also when it makes no exit
# any more. Its code: mov al, 0xff; out 0x21, al, so that no tick makes it exit; as $PRINTS; then it spins, or halts for ever.
my $TEXT = join '', map { "line $_\r\n" } 1 .. 60;
for my $end (["spins", $SPIN], ["halts", "\xfa\xf4\xeb\xfd"]) {
    my ($name, $code) = @$end;
    my $prints = "\xb0\xff\xe6\x21" . substr($PRINTS, 0, -length $ENDS) . $code;
    substr $prints, 5, 1, chr length $prints; # where the text is
    my $late = guest($name, "$prints$TEXT\0", '', 'expect line 60', 'wait 4', 'quit');
    like($late->{screen}, qr/^line 38\n(?:line \d+\n)*line 60\n/m, "a guest that prints and $name: all of it is on the screen");
}

# Input that no interrupt announces is polled: by a MADT that names another pin for IRQ 4 than the machine has, and a guest that makes no exit.
# ACPI 6.5, 5.2.12: local APIC 0, the IOAPIC, an override of IRQ 4.
my $body = pack 'V2 C4V C4V2 C4Vv', 0xfee00000, 1, 0, 8, 0, 0, 1, 1, 12, 1, 0, 0xfec00000, 0, 2, 10, 0, 4, 5, 0;
my $madt = pack('a4 V C C a6 a8 V a4 V', 'APIC', 36 + length $body, 3, 0, 'TEST', 'TEST', 1, 'TEST', 1) . $body;
substr $madt, 9, 1, chr(-unpack('%8C*', $madt) & 0xff);
Machine::file_write("$folder/madt", $madt);
multiboot_write("$folder/spin", code => "\xb0\xff\xe6\x21$SPIN", segments => [[1 << 20, 4096]]);
my $polled = boot(name => 'polled', mem => 64, timeout => 40, files => { kernel => "$folder/spin", madt => "$folder/madt" },
    script => ['expect guest starts', 'wait 0.5', 'type \x01h', 'expect this help', 'type \x01x', 'expect "penumbra":"summary"'],
    grub => "acpi --exclude=APIC /madt\nmultiboot2 /penumbra.elf mem=16M\nmodule2 /kernel multiboot");
is($polled->{end}, 'shutdown', 'polled: the keys come, and the guest is stopped') or diag($polled->{text});
says($polled, qr/^\[penumbra\] warning: console input is polled, /m, 'polled: it is said');
my $summary = decode_json(json_line($polled->{text}));
ok($summary->{polled} && $summary->{exit_reasons}{PREEMPTION_TIMER}{count} > 10, 'polled: it stands in the summary');
ok(!exists decode_json(json_line($keys->{text}))->{polled}, 'polled: and is not so elsewhere');

my $triple = guest('triple', $TRIPLE, '');
says($triple, qr/^\[penumbra\] error: guest triple fault at RIP 0x100013$/m, 'a triple fault says where');
is($triple->{end}, 'shutdown', 'a triple fault ends the run');
done_testing;
