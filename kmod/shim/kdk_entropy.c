/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A new seed for the kernel's random numbers.  All machines that start from
 * one saved state would have the same numbers otherwise.  A write to
 * debug.kdk.entropy reseeds the generators at once.  A write to /dev/random
 * has a delayed effect, and none in 2014.
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
 * Events of one source go to all pools in turn.  The next read reseeds when
 * the first pool has RANDOM_FORTUNA_DEFPOOLSIZE bytes, 4 of which each event
 * adds as a counter.  There are RANDOM_FORTUNA_NPOOLS pools.
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
	/* This waits for the thread that harvests events. */
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
	/* arc4random(9) has a generator of its own. */
	arc4rand(&word, sizeof(word), 1);
	return (0);
}
