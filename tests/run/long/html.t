#!/usr/bin/perl
# The HTML report as a browser has it: its script runs under the page's own policy, and sorts; nothing is refused or missing.
# Leaves screenshots in build/run/html for a person to look at, light and dark. Needs Chromium: `make check-html`.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../lib";
use File::Path qw(make_path remove_tree);
use Machine;
use Test::More;

my $FOLDER = "$Machine::BUILD/run/html";
remove_tree($FOLDER);
make_path($FOLDER);
Machine::run_quietly("$FOLDER/report.said", "$Machine::TOP/iso/report/report", '--output', "$FOLDER/report",
    glob "$FindBin::RealBin/../logs/bochs-*.log") == 0 or BAIL_OUT("no report: see $FOLDER/report.said");
my $PAGE = "$FOLDER/report/report.html";

# What Chromium prints, and what it complains of, with these options; root needs --no-sandbox.
sub chromium {
    my ($page, @options) = @_;
    my @command = ('chromium', '--headless', '--disable-gpu', $> ? () : '--no-sandbox', "--user-data-dir=$FOLDER/profile", '--hide-scrollbars',
        '--enable-logging=stderr', @options, "file://$page");
    Machine::run_quietly("$FOLDER/said", @command);
    my $said = Machine::file_read("$FOLDER/said");
    return ($said, join "\n", $said =~ /(.*(?:CONSOLE|net::ERR).*)/g);
}

for my $look (['light', 1], ['dark', 0]) {
    my ($name, $scheme) = @$look;
    my (undef, $complaints) = chromium($PAGE, '--window-size=1280,2400', "--blink-settings=preferredColorScheme=$scheme",
        "--screenshot=$FOLDER/$name.png");
    is($complaints, '', "$name: no complaint");
    cmp_ok(-s "$FOLDER/$name.png" // 0, '>', 50_000, "$name: a screenshot");
}

my ($dom) = chromium($PAGE, '--dump-dom');
my $headings = () = $dom =~ /<th scope="col">/g;
is(scalar(() = $dom =~ /<th scope="col"><button title="Sort">/g), $headings, 'the script has run: each heading is a button');

# A copy whose further script clicks; the page's own policy would refuse it.
my ($other) = map { s/<meta http-equiv[^>]*>//r } Machine::file_read($PAGE);
Machine::file_write("$FOLDER/refused.html", Machine::file_read($PAGE) =~ s/(?=<\/body>)/<script>document.title = "mine";<\/script>/r);
my ($refused, $complaints) = chromium("$FOLDER/refused.html", '--dump-dom');
like($complaints, qr/Content Security Policy/, 'another script in the page is refused');
unlike($refused, qr/<title>mine/, 'and does not run');
$other =~ s/(?=<\/body>)/<script>
const table = document.querySelectorAll("table")[1];
const told = [];
for (const click of [1, 1, 0]) {
    table.querySelectorAll("button")[click].click();
    told.push([...table.tBodies[0].rows].map((row) => row.cells[0].textContent).join(" "));
}
document.title = told.join("; ");
<\/script>/;
Machine::file_write("$FOLDER/sorted.html", $other);
($dom) = chromium("$FOLDER/sorted.html", '--dump-dom');
is(($dom =~ /<title>(.*?)<\/title>/)[0], 'pipe2 fork exec script; script exec fork pipe2; exec fork pipe2 script',
    'a click sorts by value, a second the other way round, and names by their letters');
done_testing;
