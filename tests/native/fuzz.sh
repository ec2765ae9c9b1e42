#!/bin/sh
# Fuzzes the C decoder under AddressSanitizer and UBSan: fuzz.sh SECONDS [FOLDER]. Needs clang.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
native=$here/../../backends/mixing/native
folder=${2:-$(mktemp -d)}
mkdir -p "$folder/corpus"
for number in int8_t int32_t; do
    clang -std=c99 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -DCM_INT=$number -I"$native" \
        "$here/fuzz.c" "$native/cm.c" -o "$folder/fuzz-$number"
    "$folder/fuzz-$number" -max_len=300 -max_total_time="$1" -print_final_stats=1 "$folder/corpus" 2>&1 |
        grep -E "ERROR|runtime error|SUMMARY|number_of_executed_units"
done
