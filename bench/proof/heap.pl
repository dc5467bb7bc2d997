# SPDX-License-Identifier: MIT
# A hash of so many records, grouped and sorted: heap.pl RECORDS SEED
use strict;
use warnings;
use integer;

my ($records, $seed) = @ARGV;

sub draw {
    $seed = ($seed * 1103515245 + 12345) & 0x7fffffff;
    return ($seed >> 16) % $_[0];
}

my (%table, %group);
$table{"record " . draw(30000) . ":$_"} = { key => draw(32000), name => "x" x draw(60) } for 1 .. $records;
push @{ $group{ $table{$_}{key} % 97 } }, $_ for sort keys %table;
my $length = 0;
for my $number (sort keys %group) {
    my @sorted = sort { $table{$a}{key} <=> $table{$b}{key} || $a cmp $b } @{ $group{$number} };
    $length += length join ",", @sorted;
}
print scalar keys %table, " $length\n";
