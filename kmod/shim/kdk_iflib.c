/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * See kdk_iflib.h.  iflib(9) copies the driver's methods when a NIC attaches,
 * so they are replaced before that.
 */
#include "kpi.h"

#ifdef KDK_PCI_IFLIB
#include <sys/bus.h>
#include <sys/gtaskqueue.h>
#include <sys/sx.h>

#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_var.h>
#include <net/iflib.h>
#include <net/vnet.h>

TASKQGROUP_DECLARE(if_io_tqg);

/* The methods of the tree's driver. */
extern struct if_txrx ixgbe_txrx;

static struct if_txrx kdk_iflib_driver;

/* The number of polls of a ring; a task of iflib begins with one. */
static volatile u_int kdk_iflib_polls;

static struct mtx kdk_iflib_mtx;
MTX_SYSINIT(kdk_iflib, &kdk_iflib_mtx, "kdk iflib", MTX_DEF);

static u_int	kdk_iflib_queue;
static u_int	kdk_iflib_countdown;		/* calls until the one that fails */
static int	kdk_iflib_error;

static int
kdk_rxd_available(void *softc, uint16_t queue, qidx_t index, qidx_t budget)
{

	atomic_add_int(&kdk_iflib_polls, 1);
	return (kdk_iflib_driver.ift_rxd_available(softc, queue, index, budget));
}

static int
kdk_rxd_pkt_get(void *softc, if_rxd_info_t ri)
{
	int error = 0;

	mtx_lock(&kdk_iflib_mtx);
	if (kdk_iflib_countdown != 0 && ri->iri_qsidx == kdk_iflib_queue &&
	    --kdk_iflib_countdown == 0)
		error = kdk_iflib_error;
	mtx_unlock(&kdk_iflib_mtx);
	return (error != 0 ? error :
	    kdk_iflib_driver.ift_rxd_pkt_get(softc, ri));
}

static void
kdk_iflib_init(void *arg __unused)
{

	kdk_iflib_driver = ixgbe_txrx;
	ixgbe_txrx.ift_rxd_available = kdk_rxd_available;
	ixgbe_txrx.ift_rxd_pkt_get = kdk_rxd_pkt_get;
}
SYSINIT(kdk_iflib_init, SI_SUB_DRIVERS, SI_ORDER_FIRST, kdk_iflib_init, NULL);

/*
 * A drain waits for tasks that are queued or run.  A running task may have
 * polled its ring and queue itself again, so the second drain covers that.
 */
void
kdk_iflib_drain(void)
{
	u_int before;

	do {
		before = atomic_load_acq_int(&kdk_iflib_polls);
		taskqgroup_drain_all(qgroup_if_io_tqg);
		taskqgroup_drain_all(qgroup_if_io_tqg);
	} while (atomic_load_acq_int(&kdk_iflib_polls) != before);
}

void
kdk_iflib_fail(u_int queue, u_int nth, int error)
{

	mtx_lock(&kdk_iflib_mtx);
	kdk_iflib_queue = queue;
	kdk_iflib_countdown = nth;
	kdk_iflib_error = error;
	mtx_unlock(&kdk_iflib_mtx);
}

const void *
kdk_iflib_lock_channel(const char *name)
{
	const void *channel;
	if_t ifp;

	CURVNET_SET(vnet0);
	ifp = ifunit_ref(name);
	CURVNET_RESTORE();
	if (ifp == NULL)
		return (NULL);
	channel = &iflib_ctx_lock_get(if_getsoftc(ifp))->lock_object;
	if_rele(ifp);
	return (channel);
}
#endif
