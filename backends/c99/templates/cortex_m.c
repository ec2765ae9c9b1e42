/* Where a Cortex-M begins: the stack, and newlib's start, which clears memory and calls main. */
#include <stdint.h>

extern uint32_t stack_top;
void _start(void);

struct vectors {
    uint32_t *stack;
    void (*reset)(void);
};

__attribute__((section(".vectors"), used)) static const struct vectors vectors = { &stack_top, _start };
