/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A forced include for each file of the tree's ixgbe driver.  Register accesses
 * become calls of the model (kmod/nic82599), which is known by the handle of
 * the memory resource, see kdk_pci.c.  That file registers the driver, too: on
 * the software bus alone.
 */
#ifndef _KDK_IXGBE_IO_H_
#define	_KDK_IXGBE_IO_H_

#include <sys/param.h>
#include <sys/systm.h>
#include <sys/kernel.h>
#include <sys/module.h>
#include <sys/bus.h>
#include <machine/bus.h>
#if __FreeBSD_version < 1200000
#include <sys/bus_dma.h>
#endif

uint32_t kdk_nic_read(uintptr_t nic, uint32_t reg);
void	 kdk_nic_write(uintptr_t nic, uint32_t reg, uint32_t value);

#undef	bus_space_read_4
#define	bus_space_read_4(tag, handle, reg)				\
	((void)(tag), kdk_nic_read((handle), (reg)))
#undef	bus_space_write_4
#define	bus_space_write_4(tag, handle, reg, value)			\
	((void)(tag), kdk_nic_write((handle), (reg), (value)))

/*
 * The alignment of DMA buffers.  Others go through bounce pages, see
 * bus_dma(9).  iflib(9) creates its own tags.
 */
extern bus_size_t kdk_dma_alignment;
/* Returns whether a tag, a map or memory for DMA cannot be had, see kdk_dma.h. */
int	 kdk_dma_refuses(void);
#if __FreeBSD_version < 1200000
#define	bus_dma_tag_create(parent, alignment, ...)			\
	(kdk_dma_refuses() ? ENOMEM : (bus_dma_tag_create)((parent),	\
	    MAX((alignment), kdk_dma_alignment), __VA_ARGS__))
#undef	bus_dmamap_create
#define	bus_dmamap_create(...)						\
	(kdk_dma_refuses() ? ENOMEM : (bus_dmamap_create)(__VA_ARGS__))
#undef	bus_dmamem_alloc
#define	bus_dmamem_alloc(...)						\
	(kdk_dma_refuses() ? ENOMEM : (bus_dmamem_alloc)(__VA_ARGS__))
#endif

/* The driver is not a module of its own, which could outlive kdk.ko. */
#undef	DRIVER_MODULE
#define	DRIVER_MODULE(name, busname, driver, ...)			\
	extern driver_t *__CONCAT(kdk_driver_, name);			\
	driver_t *__CONCAT(kdk_driver_, name) = &(driver)

/*
 * The tunables that older drivers read when their module is loaded.  They are
 * read at each attach instead.
 */
struct kdk_tunable {
	const char	*path;
	int		*value;
	int		 preset;	/* the driver's default */
	struct kdk_tunable *next;
};

void	 kdk_ixgbe_tunable(void *tunable);

#if __FreeBSD_version < 1200000
#undef	TUNABLE_INT
#define	TUNABLE_INT(name, variable)					\
	static struct kdk_tunable __CONCAT(kdk_tunable_, __LINE__) = {	\
		.path = (name),						\
		.value = (variable),					\
	};								\
	SYSINIT(__CONCAT(kdk_tunable_add_, __LINE__), SI_SUB_TUNABLES,	\
	    SI_ORDER_MIDDLE, kdk_ixgbe_tunable,				\
	    &__CONCAT(kdk_tunable_, __LINE__))
#endif

#endif /* !_KDK_IXGBE_IO_H_ */
