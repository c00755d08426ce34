/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Errors of the receive path that no card can be made to have: the driver's
 * isc_rxd_pkt_get(), see iflibtxrx(9), fails as a test says.
 */
#ifndef _KDK_RX_ERROR_H_
#define	_KDK_RX_ERROR_H_

#ifdef KDK_PCI_IFLIB
/*
 * The 'nth' call from now on, 1 or more, of any card's receive queue 'queue'
 * returns 'error', once, and does nothing else.  The driver does not see it.
 * With 'nth' 0 none does.
 */
void	 kdk_rx_error_set(u_int queue, u_int nth, int error);
#endif

#endif /* !_KDK_RX_ERROR_H_ */
