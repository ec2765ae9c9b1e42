"""What kernels are written for: the macros that a compiler defines. What runs one of them runs those before it too.

Every processor with VNNI in AVX-512 has the instructions for bytes, and for shorter registers, too (BW, VL).
"""

PORTABLE, AVX2, VNNI = "", "__AVX2__", "__AVX512VNNI__"
MACROS = (PORTABLE, AVX2, VNNI)
