# One boot for each sentence with which the monitor refuses a machine, its parameters or its guest: the whole sentence
# must come, on the serial line and on the screen, and then nothing. Which machines and guests: the tests beside this folder.
package Refusal;
use strict;
use warnings;
use Exporter 'import';
use Machine;
use Picture;
use Test::More;
our @EXPORT = qw(refused pressed);

use constant BEGIN_OF_ALL => '[penumbra] error: Penumbra cannot run here. ';

# For comparing what is broken into lines at different widths.
sub pressed { return $_[0] =~ s/\s+//gr }

# refused(NAME, SENTENCE, options of boot()): the whole sentence unless `begin` gives another beginning.
sub refused {
    my ($name, $sentence, %boot) = @_;
    my $whole = (delete $boot{begin} // BEGIN_OF_ALL) . $sentence;
    # The end of the sentence is waited for: a longer one, or one that goes on to boot, fails below.
    my $end = substr $sentence, -20;
    my $run = boot(name => $name =~ s/\W+/-/gr, timeout => 120, mem => 64, script => ["expect $end", 'wait 0.3', 'quit'],
        screen => 1, %boot);
    my ($last) = $run->{text} =~ /([^\n]*)\n*\z/;
    is($last, $whole, "$name: the sentence, and nothing after it") or diag(substr $run->{text}, -1500);
    ok(index(pressed($run->{screen}), pressed($whole)) >= 0, "$name: on the screen") or diag($run->{screen})
        if ($boot{emu} // 'bochs') eq 'bochs';
    return $run;
}

1;
