/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Between iflib(9) and the driver: when all that iflib has to do is done, and
 * errors of the receive path that no card can be made to have.
 */
#ifndef _KDK_IFLIB_H_
#define	_KDK_IFLIB_H_

#ifdef KDK_PCI_IFLIB
/*
 * Sleeps until the tasks that take frames from the rings of all cards have
 * run, and those that they have queued again.
 */
void	 kdk_iflib_drain(void);
/*
 * The 'nth' call from now on, 1 or more, of the driver's isc_rxd_pkt_get(), see
 * iflibtxrx(9), for any card's receive queue 'queue' returns 'error', once, and
 * does nothing else.  The driver does not see it.  With 'nth' 0 none does.
 */
void	 kdk_iflib_fail(u_int queue, u_int nth, int error);
#endif

#endif /* !_KDK_IFLIB_H_ */
