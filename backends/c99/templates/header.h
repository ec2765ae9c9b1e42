/* @name@: an integer program of lowbit, for one sample. See @name@.c.
 *
@ports@
 *
 * real = (integer - ZERO) * MULTIPLIER * 2^-SHIFT; from real, round to the nearest integer, halves up, and saturate.
 * Inputs must lie in [LOW, HIGH] and must not overlap outputs. One call at a time: the arena is static.
 */
#ifndef @NAME@_H
#define @NAME@_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

@defines@

#define @NAME@_ARENA @arena@ /* bytes of static memory, in portable C */

@signature@;

#ifdef __cplusplus
}
#endif

#endif
