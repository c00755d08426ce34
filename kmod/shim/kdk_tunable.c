/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The tunables of a driver that reads them once, see kdk_ixgbe_io.h.
 */
#include "kpi.h"

#ifdef KDK_HAVE_IXGBE
#include "kdk_ixgbe_io.h"

static struct kdk_tunable *kdk_tunables;

/* Registers a tunable while the module is loaded. */
void
kdk_ixgbe_tunable(void *arg)
{
	struct kdk_tunable *tunable = arg;

	tunable->preset = *tunable->value;
	tunable->next = kdk_tunables;
	kdk_tunables = tunable;
}

void
kdk_ixgbe_fetch_tunables(void)
{
	struct kdk_tunable *tunable;

	for (tunable = kdk_tunables; tunable != NULL;
	    tunable = tunable->next) {
		*tunable->value = tunable->preset;
		TUNABLE_INT_FETCH(tunable->path, tunable->value);
	}
}
#endif
