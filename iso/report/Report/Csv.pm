# The results as a table for spreadsheets and data frames: a row for each configuration and workload, of what results.jsonl has
# (Json.pm). What failed has empty cells.
package Report::Csv;
use strict;
use warnings;
use Exporter 'import';
use Report::Json 'result_lines';
our @EXPORT_OK = 'csv_lines';

my @PLAIN = (qw(configuration workload rounds iterations repetitions median lowest highest spread),
    qw(base ratio ratio_with_exit_cost all_exits));

# A cell is quoted where it has a comma (RFC 4180); a log's names have no quotes and no line ends.
sub row { return join(',', map { my $cell = $_ // ''; $cell =~ /,/ ? "\"$cell\"" : $cell } @_) . "\n" }

sub cells {
    my ($line) = @_;
    return (@$line{@PLAIN}, map { ($line->{faults} // {})->{$_} } qw(hidden true direct));
}

sub csv_lines {
    my ($report) = @_;
    return join '', row(@PLAIN, qw(hidden_faults true_faults direct_faults)), map { row(cells($_)) } result_lines($report);
}

1;
