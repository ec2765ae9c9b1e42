#!/bin/sh
# Fuzzes the C decoder under AddressSanitizer and UBSan: fuzz.sh SECONDS [FOLDER], so long for each of three builds: as a
# microcontroller has it, for two types of integers, and as Python does, with tables. Needs clang.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
native=$here/../../backends/mixing/native
folder=${2:-$(mktemp -d)}
mkdir -p "$folder/corpus"
for built in "int8_t" "int32_t" "int64_t -DCM_TABLES"; do
    name=fuzz-${built%% *}
    # shellcheck disable=SC2086
    clang -std=c99 -O2 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -DCM_INT=$built -I"$native" \
        "$here/fuzz.c" -o "$folder/$name"
    "$folder/$name" -max_len=64 -max_total_time="$1" -print_final_stats=1 "$folder/corpus" >"$folder/$name.log" 2>&1 ||
        tail -n 60 "$folder/$name.log"
    grep -E "number_of_executed_units|average_exec" "$folder/$name.log"
done
