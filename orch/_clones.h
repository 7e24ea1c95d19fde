/* Functions built several times over, one of which is chosen when the module is loaded, by the processor.
 *
 * The same C, so the same answers. Needs gcc's ifunc and glibc; elsewhere a function is built once.
 */
#ifndef ORCH_CLONES_H
#define ORCH_CLONES_H

#include <stdint.h> /* any header of glibc says whether this is glibc */

#if defined(__x86_64__) && defined(__linux__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) \
    && __GNUC__ >= 12 && !defined(__SANITIZE_ADDRESS__)
#define ORCH_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define ORCH_CLONES
#endif

#endif
