"""What kernels are written for: the macros that a compiler defines. What runs one of them runs those before it too.

VNNI came to registers of 512 bits first, on processors that have the instructions for bytes, and for shorter registers,
too (BW, VL), and later to those of 256 bits alone, where the same instructions have other names.
"""

PORTABLE, AVX2, VNNI_256, VNNI_512 = "", "__AVX2__", "__AVXVNNI__", "__AVX512VNNI__"
MACROS = (PORTABLE, AVX2, VNNI_256, VNNI_512)
