/* Golden vectors of @name@: what the interpreter of lowbit computes for @samples@ inputs. Ends with 0 if all are equal. */
#include <stdio.h>
#include "@name@.h"

enum { SAMPLES = @samples@ };

@vectors@

@buffers@

int main(void)
{
    long wrong = 0, all = 0;
    for (int n = 0; n < SAMPLES; n++) {
        @run@
@compare@
    }
    printf("@name@: %ld of %ld integers of %d samples are wrong\n", wrong, all, (int)SAMPLES);
    return wrong != 0;
}
