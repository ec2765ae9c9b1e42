/* What a Cortex-M begins with: the end of its stack and where it starts; for the board mps2-an385 of qemu-system-arm. */
extern void _start(void);
__attribute__((section(".vectors"), used)) static const void *const vectors[2] = {(void *)0x20400000, (void *)_start};
