/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Random numbers of a machine's own, for one that was loaded from a saved
 * state: all that are loaded from it would have the same.  What is written to
 * debug.kdk.entropy is mixed into the kernel's generators at once; /dev/random
 * takes its time, or, in 2014, throws away what is written to it.
 */
#include "kpi.h"
#include "kdk_entropy.h"
#include <sys/random.h>
#include <sys/libkern.h>
#if __FreeBSD_version < 1200000
#include <sys/selinfo.h>
#include <dev/random/randomdev.h>
#include <dev/random/random_adaptors.h>
#endif

#define	KDK_SEED	64

#if __FreeBSD_version >= 1200000
/*
 * What comes from one source goes to all pools in turn, and the next read
 * reseeds when the first one holds enough: RANDOM_FORTUNA_NPOOLS pools,
 * RANDOM_FORTUNA_DEFPOOLSIZE bytes (with 4 of a counter for each event).
 */
#define	KDK_POOLS	32
#define	KDK_EVENTS	(KDK_POOLS * 8)

static void
kdk_entropy_harvest(const uint8_t *seed)
{
	const size_t step = 2 * sizeof(uint32_t);
	int n;

	for (n = 0; n < KDK_EVENTS; n++)
		random_harvest_direct_(seed + n * step % KDK_SEED, step,
		    RANDOM_CACHED);
}
#else
static void
kdk_entropy_harvest(const uint8_t *seed)
{
	const size_t step = 2 * sizeof(uint32_t);
	size_t at;

	for (at = 0; at < KDK_SEED; at += step)
		random_harvest(seed + at, step, step * NBBY,
		    RANDOM_PURE_VIRTIO);
	/* Waits for the thread that takes events in. */
	if (random_adaptor != NULL && random_adaptor->reseed != NULL)
		random_adaptor->reseed();
}
#endif

int
kdk_sysctl_entropy(SYSCTL_HANDLER_ARGS)
{
	uint8_t seed[KDK_SEED];
	uint32_t word;
	int error;

	if (req->newptr == NULL)
		return (EINVAL);
	error = SYSCTL_IN(req, seed, sizeof(seed));
	if (error != 0)
		return (error);
	kdk_entropy_harvest(seed);
	/* The generator of everybody else in the kernel. */
	arc4rand(&word, sizeof(word), 1);
	return (0);
}
