/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The limits of a software NIC's DMA, while its driver attaches.
 */
#ifndef _KDK_DMA_H_
#define	_KDK_DMA_H_

#include <sys/param.h>
#include <sys/bus.h>
#include <machine/bus.h>

/* The alignment of DMA buffers, see kdk_ixgbe_io.h. */
extern bus_size_t kdk_dma_alignment;
/* The calls left until the one that is refused, or 0. */
extern u_int	kdk_dma_countdown;

/* Returns whether a tag, a map or memory for DMA cannot be had. */
int	 kdk_dma_refuses(void);
#ifndef KDK_2014
/*
 * Creates the parent of a driver's tags: its DMA is bounced, or refused when
 * the countdown ends.
 */
int	 kdk_dma_parent(bus_dma_tag_t *tag, int bounced);
#endif

#endif /* !_KDK_DMA_H_ */
