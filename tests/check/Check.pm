# What the checks share: the list of sources, and one TAP line for a rule with the places that break it.
package Check;
use strict;
use warnings;
use Exporter 'import';
our @EXPORT = qw(sources folder_of folder_table lines_of first_line rule rule_by done commands);

# Files that git knows or would add, relative to the top, whose name matches.
sub sources {
    my ($pattern) = @_;
    open my $git, '-|', qw(git ls-files --cached --others --exclude-standard) or die "git: $!";
    my @files = grep { /$pattern/ && -e } map { chomp; $_ } <$git>;
    close $git or die "git ls-files failed";
    my %seen;
    return grep { !$seen{$_}++ } @files;
}

# What the Makefile's tables call a folder: one of the top level, or a layer of hv. All of include/ is of the top level.
sub folder_of {
    my ($file) = @_;
    return $file =~ m{^(hv/(?!include/)[^/]+)/} ? $1 : $file =~ s{/.*}{}r;
}

# A table of the Makefile's by folder, as check.mk hands it over: "folder: words;" for each.
sub folder_table {
    my ($name) = @_;
    return map { /^\s*([^:]+): *(.*)/ ? ($1 => $2) : () } split /;/, $ENV{$name} // die "no $name: these checks are run by make check\n";
}

sub lines_of {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!";
    my @lines = <$in>;
    chomp @lines;
    return @lines;
}

# '' for what is no text file.
sub first_line {
    my ($file) = @_;
    return '' unless -f $file && -T _;
    return (lines_of($file))[0] // '';
}

my $number = 0;

# One rule: ok if nothing breaks it.
sub rule {
    my ($name, @broken) = @_;
    $number++;
    print @broken ? "not ok" : "ok", " $number - $name\n";
    print "# $_\n" for @broken;
}

# A rule that hangs on the opinion of one version of a program, which not every release has: a skipped test without it.
sub rule_by {
    my ($program, $name, @commands) = @_;
    return rule($name, commands(@commands)) if grep { -x "$_/$program" } split /:/, $ENV{PATH};
    $number++;
    print "ok $number - $name # SKIP left out: this machine has no $program, and other versions want other things\n";
}

sub done { print "1..$number\n" }

# Runs shell commands two at a time; returns what each that fails prints, the first lines.
sub commands {
    my (@commands) = @_;
    my @broken;
    my %running;
    my $collect = sub {
        my $pid = wait;
        my ($command, $output) = @{ delete $running{$pid} };
        my $failed = $? != 0;
        local $/;
        seek $output, 0, 0;
        my $text = <$output>;
        push @broken, $command, split /\n/, $text if $failed;
    };
    for my $command (@commands) {
        $collect->() if keys %running == 2;
        open my $output, '+>', undef or die "temporary file: $!";
        my $pid = fork // die "fork: $!";
        if (!$pid) {
            open STDOUT, '>&', $output;
            open STDERR, '>&', $output;
            exec 'sh', '-c', $command or die "sh: $!";
        }
        $running{$pid} = [$command, $output];
    }
    $collect->() while %running;
    return @broken > 60 ? (@broken[0 .. 59], '...') : @broken;
}

1;
