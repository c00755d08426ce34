/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * See kdk_rx_error.h.  iflib(9) copies what is in the driver's structure when
 * it attaches, so the method has to be replaced before there is a card.
 */
#include "kpi.h"

#ifdef KDK_PCI_IFLIB
#include <sys/bus.h>

#include <net/ethernet.h>
#include <net/if.h>
#include <net/iflib.h>

/* The tree's. */
extern struct if_txrx ixgbe_txrx;

static int	(*kdk_rxd_pkt_get_real)(void *, if_rxd_info_t);

static struct mtx kdk_rx_error_mtx;
MTX_SYSINIT(kdk_rx_error, &kdk_rx_error_mtx, "kdk rx error", MTX_DEF);

static u_int	kdk_rx_error_queue;
static u_int	kdk_rx_error_left;	/* calls, that one included */
static int	kdk_rx_error;

static int
kdk_rxd_pkt_get(void *softc, if_rxd_info_t ri)
{
	int error = 0;

	mtx_lock(&kdk_rx_error_mtx);
	if (kdk_rx_error_left != 0 && ri->iri_qsidx == kdk_rx_error_queue &&
	    --kdk_rx_error_left == 0)
		error = kdk_rx_error;
	mtx_unlock(&kdk_rx_error_mtx);
	return (error != 0 ? error : kdk_rxd_pkt_get_real(softc, ri));
}

static void
kdk_rx_error_init(void *arg __unused)
{

	kdk_rxd_pkt_get_real = ixgbe_txrx.ift_rxd_pkt_get;
	ixgbe_txrx.ift_rxd_pkt_get = kdk_rxd_pkt_get;
}
SYSINIT(kdk_rx_error_init, SI_SUB_DRIVERS, SI_ORDER_FIRST, kdk_rx_error_init,
    NULL);

void
kdk_rx_error_set(u_int queue, u_int nth, int error)
{

	mtx_lock(&kdk_rx_error_mtx);
	kdk_rx_error_queue = queue;
	kdk_rx_error_left = nth;
	kdk_rx_error = error;
	mtx_unlock(&kdk_rx_error_mtx);
}
#endif
