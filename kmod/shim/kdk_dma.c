/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * See kdk_dma.h and kdk_pci.h.
 */
#include "kpi.h"

#ifdef KDK_HAVE_IXGBE
#include <sys/bus.h>

#include <vm/vm.h>
#include <vm/pmap.h>

#include <machine/bus.h>
#include <machine/md_var.h>
#include <machine/vmparam.h>

#include "kdk_compat.h"
#include "kdk_dma.h"

#ifndef KDK_2014
#include <x86/include/busdma_impl.h>
#endif

#ifdef KDK_2014
#define	KDK_BOUNCE_ALIGN	128
#else
#define	KDK_BOUNCE_ALIGN	PAGE_SIZE
#endif
/* The size of the driver's largest descriptor ring, in bytes. */
#define	KDK_RING_SIZE	(4096 * 16)

bus_size_t	kdk_dma_alignment = 1;
/* The kernel linker of 2014 knows no common symbols. */
u_int		kdk_dma_countdown = 0;

int
kdk_dma_refuses(void)
{

	return (kdk_dma_countdown != 0 && --kdk_dma_countdown == 0);
}

#ifndef KDK_2014
/*
 * iflib(9) makes its tags from the bus's one.  The kernel creates
 * them with the methods of their parent, which raise the alignment here, so
 * that most buffers go through bounce pages.
 */
static int
kdk_bounced_tag_create(bus_dma_tag_t parent, bus_size_t alignment,
    bus_addr_t boundary, bus_addr_t lowaddr, bus_addr_t highaddr,
    bus_size_t maxsize, int nsegments, bus_size_t maxsegsz, int flags,
    bus_dma_lock_t *lock, void *lockarg, bus_dma_tag_t *tag)
{

	return (bus_dma_bounce_impl.tag_create(parent,
	    MAX(alignment, PAGE_SIZE), boundary, lowaddr, highaddr, maxsize,
	    nsegments, maxsegsz, flags, lock, lockarg, tag));
}

/*
 * Tags of a driver to which DMA resources are refused.  A tag has the methods
 * of its parent only if it gets them here.
 */
static struct bus_dma_impl kdk_refusing_impl;

static int
kdk_refusing_tag_create(bus_dma_tag_t parent, bus_size_t alignment,
    bus_addr_t boundary, bus_addr_t lowaddr, bus_addr_t highaddr,
    bus_size_t maxsize, int nsegments, bus_size_t maxsegsz, int flags,
    bus_dma_lock_t *lock, void *lockarg, bus_dma_tag_t *tag)
{
	int error;

	if (kdk_dma_refuses())
		return (ENOMEM);
	error = bus_dma_bounce_impl.tag_create(parent, alignment, boundary,
	    lowaddr, highaddr, maxsize, nsegments, maxsegsz, flags, lock,
	    lockarg, tag);
	if (error == 0)
		((struct bus_dma_tag_common *)*tag)->impl = &kdk_refusing_impl;
	return (error);
}

static int
kdk_refusing_map_create(bus_dma_tag_t tag, int flags, bus_dmamap_t *map)
{

	return (kdk_dma_refuses() ? ENOMEM :
	    bus_dma_bounce_impl.map_create(tag, flags, map));
}

static int
kdk_refusing_mem_alloc(bus_dma_tag_t tag, void **place, int flags,
    bus_dmamap_t *map)
{

	return (kdk_dma_refuses() ? ENOMEM :
	    bus_dma_bounce_impl.mem_alloc(tag, place, flags, map));
}

static struct bus_dma_impl kdk_bounced_impl;

int
kdk_dma_parent(bus_dma_tag_t *tag, int bounced)
{
	int error;

	error = bus_dma_tag_create(NULL, 1, 0, BUS_SPACE_MAXADDR,
	    BUS_SPACE_MAXADDR, NULL, NULL, BUS_SPACE_MAXSIZE, 1,
	    BUS_SPACE_MAXSIZE, 0, NULL, NULL, tag);
	if (error != 0)
		return (error);
	kdk_bounced_impl = kdk_refusing_impl = bus_dma_bounce_impl;
	kdk_bounced_impl.tag_create = kdk_bounced_tag_create;
	kdk_refusing_impl.tag_create = kdk_refusing_tag_create;
	kdk_refusing_impl.map_create = kdk_refusing_map_create;
	kdk_refusing_impl.mem_alloc = kdk_refusing_mem_alloc;
	((struct bus_dma_tag_common *)*tag)->impl =
	    bounced ? &kdk_bounced_impl : &kdk_refusing_impl;
	return (0);
}
#endif

/*
 * Allocates the bounce pages of the largest ring in advance.  The kernel keeps
 * them for later users, so that the leak check of a test would count them.
 */
static void
kdk_bounce_zone(void *arg __unused)
{
	bus_dma_tag_t tag;

	if (bus_dma_tag_create(NULL, KDK_BOUNCE_ALIGN, 0, BUS_SPACE_MAXADDR,
	    BUS_SPACE_MAXADDR, NULL, NULL, KDK_RING_SIZE, 1, KDK_RING_SIZE,
	    BUS_DMA_ALLOCNOW, NULL, NULL, &tag) == 0)
		(void)bus_dma_tag_destroy(tag);
}
SYSINIT(kdk_bounce_zone, SI_SUB_DRIVERS, SI_ORDER_ANY, kdk_bounce_zone, NULL);

/*
 * DMA through the direct map.
 */
static void *
kdk_dma_place(uint64_t address, size_t length)
{
	uint64_t end;

	end = address + length;
	if (address == 0 || end < address || end > ptoa((uint64_t)Maxmem))
		return (NULL);
	return ((void *)PHYS_TO_DMAP(address));
}

int
kdk_dma_read(uint64_t address, void *to, size_t length)
{
	const void *from;

	from = kdk_dma_place(address, length);
	if (from == NULL)
		return (0);
	memcpy(to, from, length);
	return (1);
}

int
kdk_dma_write(uint64_t address, const void *from, size_t length)
{
	void *to;

	to = kdk_dma_place(address, length);
	if (to == NULL)
		return (0);
	memcpy(to, from, length);
	return (1);
}
#endif
