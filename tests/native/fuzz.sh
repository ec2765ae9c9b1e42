#!/bin/sh
# Fuzzes the C decoders under AddressSanitizer and UBSan: fuzz.sh SECONDS [FOLDER [BUILD ...]], so long for each build: that
# of a microcontroller for two types of integers, that of Python with tables, and rANS with and without its slots. Needs clang.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
native=$here/../../backends/mixing/native
seconds=$1
folder=${2:-$(mktemp -d)}
mkdir -p "$folder"
shift; shift || true
[ $# -gt 0 ] || set -- cm8 cm32 cm64 rans rans8
for name in "$@"; do
    case $name in
    cm8) given="fuzz.c -DCM_INT=int8_t" ;;
    cm32) given="fuzz.c -DCM_INT=int32_t" ;;
    cm64) given="fuzz.c -DCM_INT=int64_t -DCM_TABLES" ;;
    rans) given="fuzz_rans.c -DCM_INT=int64_t" ;;
    rans8) given="fuzz_rans.c -DCM_INT=int8_t -DRANS_SLOTS=0" ;;
    esac
    corpus=$folder/corpus-${given%%.*}
    mkdir -p "$corpus"
    # What UBSan finds is a trap, half as slow as a message: to know more, build without -fsanitize-trap and run its input.
    # shellcheck disable=SC2086
    clang -std=c99 -O2 -g -fsanitize=fuzzer,address,undefined -fsanitize-trap=undefined -I"$native" "$here/"$given \
        -o "$folder/$name"
    "$folder/$name" -max_len=48 -max_total_time="$seconds" -print_final_stats=1 "$corpus" >"$folder/$name.log" 2>&1 ||
        tail -n 60 "$folder/$name.log"
    echo "$name $(grep -E "number_of_executed_units" "$folder/$name.log")"
done
