#!/bin/sh
# SPDX-License-Identifier: MIT
# In place of bench_replay: a trace is "NAME EVENTS", and what a policy brings is a formula of its values.
read -r name events < "$1" || test -n "$events" || exit 9
from=0 keep=16 thp=1 set=0 more=0
if [ "$2" = --sizes ]; then
    case $name in peaked*) echo "3120 40"; echo "5312 9000" ;; esac
    exit 0
fi
if [ -n "$HAKMEM_POLICY" ]; then
    while read -r key _ value; do
        case $key in
        thp_block_kb) from=$value set=1 ;;
        retain_mb) keep=$value set=1 ;;
        thp) thp=$value set=1 ;;
        mid_dyn1) more=$value set=1 ;;
        format) ;;
        *_*) set=1 ;;
        esac
    done < "$HAKMEM_POLICY"
fi
case $name$thp in
foreign*) echo "bench_replay: $1 is no trace of hakmem" >&2; exit 2 ;;
crash* | touchy2) kill -ABRT $$ ;;
slow*) sleep 0.05 ;;
deaf*) test $set = 0 || echo "hakmem: HAKMEM_POLICY: not a policy" >&2 ;;
esac
end=1
case $name in limited*) end=2 ;; esac
faults=70000 peak=70000
if [ "$from" -ge 4096 ] && [ "$from" -le 65536 ]; then faults=50000; fi
if [ "$keep" -gt 100 ]; then faults=$((faults - 2000)) peak=70700; fi
if [ "$more" = 5312 ]; then peak=$((peak - 5000)); fi
echo "{\"events\": $events, \"end\": $end, \"faults_minor\": $faults, \"faults_huge\": 0, \"faults_major\": 0,
\"peak_resident_bytes\": $((4096 * peak)), \"resident_byte_operations\": 13841287201, \"end_resident_bytes\": 4096000,
\"library\": {\"refills\": 10, \"name\": \"hakmem\"}}"
