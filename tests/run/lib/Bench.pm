# What one iteration of a bench workload makes the monitor do: a run of one repetition and a run of more, each between two
# tables of statistics, and their difference. What bench's start and the console cost is in both runs, and goes away.
package Bench;
use strict;
use warnings;
use Exporter 'import';
use JSON::PP 'decode_json';
use Linux qw(command_steps PROMPT);
use Summary;
our @EXPORT = qw(bench_prepare bench_steps bench_results bench_exits);

# Before the first run: the console breaks no line, and no huge page comes unasked. $workload is any.
sub bench_prepare {
    my ($workload) = @_;
    my $madvise = 'for s in enabled defrag; do echo madvise >/sys/kernel/mm/transparent_hugepage/$s; done';
    return (
        'expect ' . PROMPT, command_steps('stty cols 200'), command_steps($madvise),
        command_steps("bench -r 1 $workload >/tmp/r")); # what only the first start of bench costs
}

# One run of bench between two tables of statistics. Its result waits in a file, so that the console costs the same each
# time. The quotes keep the echo of the line from looking like its output.
sub run_steps {
    my ($workload, $repetitions, $monitored) = @_;
    my @statistics = $monitored ? ('type \x01s', 'expect exits by reason', 'wait 0.3') : ();
    return (@statistics, "send bench -r $repetitions $workload >/tmp/r; echo d''one", 'expect done', 'expect ' . PROMPT,
        @statistics, command_steps('cat /tmp/r'));
}

# Two runs, of one repetition and of 1 + $more: two JSON lines of bench, and four tables if there is a monitor.
sub bench_steps {
    my ($workload, $more, $monitored) = @_;
    return (run_steps($workload, 1, $monitored), run_steps($workload, 1 + $more, $monitored));
}

# The results in what the guest printed, each decoded. The first and the last line of a bench tell of the run, not of a workload.
sub bench_results {
    my ($text) = @_;
    return map { decode_json($_) } $text =~ /^(\{"bench":"\w+","(?:iterations|error)".*\})$/mg;
}

# {reason => exits for each iteration} from the four tables of one workload; $iterations is how many more the long run did.
sub bench_exits {
    my ($tables, $iterations) = @_;
    my ($short, $long) = map { summary_difference(@$_)->{reasons} } [@$tables[0, 1]], [@$tables[2, 3]];
    return { map { $_ => (($long->{$_} // 0) - ($short->{$_} // 0)) / $iterations } keys %{ { %$short, %$long } } };
}

1;
