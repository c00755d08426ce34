/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Included before each file of the tree's ixgbe driver: its card's registers
 * are not memory but a model (kmod/nic82599), whose reads and writes have
 * effects.  The handle of its memory resource is what the model is known by,
 * see kdk_pci.c.  Nor is it a driver for every PCI bus: that file has it.
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
 * A card may reach buffers only where they begin on such a boundary: the other
 * ones go through bounce pages, see bus_dma(9).  iflib(9) has tags of its own.
 */
extern bus_size_t kdk_dma_alignment;
#if __FreeBSD_version < 1200000
#define	bus_dma_tag_create(parent, alignment, ...)			\
	(bus_dma_tag_create)((parent), MAX((alignment), kdk_dma_alignment), \
	    __VA_ARGS__)
#endif

/* Not a module of its own, which would be there when this one is refused. */
#undef	DRIVER_MODULE
#define	DRIVER_MODULE(name, busname, driver, ...)			\
	driver_t *kdk_ixgbe_driver = &(driver)
extern driver_t *kdk_ixgbe_driver;

/*
 * What older drivers read from the kernel's environment when their module is
 * loaded is read when a card comes.
 */
struct kdk_tunable {
	const char	*path;
	int		*value;
	int		 preset;	/* by the driver */
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
