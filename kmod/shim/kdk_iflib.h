/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Hooks between iflib(9) and the driver: a wait for iflib's tasks, and errors
 * of the receive path that no NIC can cause.
 */
#ifndef _KDK_IFLIB_H_
#define	_KDK_IFLIB_H_

#ifdef KDK_PCI_IFLIB
/*
 * Sleeps until the receive tasks of all interfaces are idle.
 */
void	 kdk_iflib_drain(void);
/*
 * Makes the 'nth' next call of the driver's isc_rxd_pkt_get(), see
 * iflibtxrx(9), fail with 'error', once, for the receive queue 'queue' of any
 * NIC.  The driver is not called.  With 'nth' 0 no call fails.
 */
void	 kdk_iflib_fail(u_int queue, u_int nth, int error);
/*
 * The channel on which threads wait for the context lock of an interface of
 * iflib(9), or NULL if there is no such interface.
 */
const void *kdk_iflib_lock_channel(const char *name);
#endif

#endif /* !_KDK_IFLIB_H_ */
