#!/usr/bin/perl
# The monitor's parameters: what is unknown, wrong or given twice is refused with what would be right.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Machine;
use Refusal;
use Test::More;

# The names and words are those of hv/policy/params.def.
my $table = Machine::file_read("$Machine::TOP/hv/policy/params.def");
my $names = join ' ', map { "$_=" } $table =~ /^PARAM\(\w+, [\w ]+, "([^"]+)"/mg;
my %words;
push @{ $words{$1} }, $2 while $table =~ /^WORD\((\w+), [^,]+, "([^"]+)"\)/mg;
my %list = map { $_ => join '|', @{ $words{$_} } } keys %words;

my @CASES = (
    ['an unknown word', 'mem=16M bogus=1', "There is no parameter `bogus=1': the parameters are $names."],
    ['a word without a value', 'mem', "There is no parameter `mem': the parameters are $names."],
    ['the beginning of a name', 'vp=on', "There is no parameter `vp=on': the parameters are $names."],
    ['a bad mode', 'mmu=none', "mmu= cannot be `none': it takes $list{mmu}."],
    ['a bad switch', 'vpid=1', "vpid= cannot be `1': it takes $list{vpid}."],
    ['too little memory', 'mem=15M', "mem= cannot be `15M': it takes a number from 16M to 1024G in steps of 4K."],
    ['an odd size', 'mem=16385', "mem= cannot be `16385': it takes a number from 16M to 1024G in steps of 4K."],
    ['a bad page size', 'p2m.max=4m', "p2m.max= cannot be `4m': it takes $list{p2m_max}."],
    ['a bad level', 'log=loud', "log= cannot be `loud': it takes $list{log}."],
    ['a bad end', 'on-exit=sleep', "on-exit= cannot be `sleep': it takes $list{on_exit}."],
    ['a bad port', 'console=com9',
        "console= cannot be `com9': it takes $list{console} or a number from 0x100 to 0xfff8."],
    ['a name given twice', 'mem=64M mem=64M', 'mem= is given more than once: leave one of them.'],
);

# They are refused before the processor is looked at: QEMU does, and is quicker. The first also shows the screen, in Bochs.
my $emu = 'bochs';
for (@CASES) {
    my ($name, $words, $sentence) = @$_;
    refused($name, $sentence, emu => $emu, grub => "multiboot2 /penumbra.elf $words");
    $emu = 'qemu';
}
done_testing;
