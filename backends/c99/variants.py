"""What kernels are written for: the macros that a compiler defines. What runs one of them runs those before it too."""

PORTABLE, AVX2, VNNI = "", "__AVX2__", "__AVX512VNNI__"
MACROS = (PORTABLE, AVX2, VNNI)
