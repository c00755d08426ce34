/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A software PCI bus with one NIC.  The tree's own ixgbe driver, which is
 * compiled into the module, attaches to it.  In trees without that driver this
 * file declares nothing; build.rs sees that in the bindings.
 */
#ifndef _KDK_PCI_H_
#define	_KDK_PCI_H_

#if __has_include(<dev/ixgbe/if_ix.c>)
#define	KDK_HAVE_IXGBE
#define	KDK_PCI_IFLIB	1	/* the driver is based on iflib(9) */
#elif __has_include(<dev/ixgbe/ixgbe.c>)
#define	KDK_HAVE_IXGBE
#endif

#ifdef KDK_HAVE_IXGBE

/* The number of MSI-X messages of an 82599. */
#define	KDK_PCI_VECTORS	64

/* Limits of a NIC and its bus. */
#define	KDK_PCI_WITHOUT_MSIX	0x1	/* one MSI message only */
#define	KDK_PCI_BOUNCED		0x2	/* DMA to page boundaries only */

struct kdk_pci;

/* The resources of a NIC that its driver has allocated. */
struct kdk_pci_use {
	u_int	memory;		/* memory resources */
	u_int	interrupts;	/* interrupt resources */
	u_int	handlers;	/* of those, with a handler */
	u_int	messages;	/* MSI-X or MSI messages allocated */
	u_int	fired;		/* interrupts that were handled */
	u_int	stray;		/* interrupts without a handler */
};

/*
 * Creates a bus with a NIC and attaches the driver, or detaches the driver and
 * deletes the bus.  The functions of Rust below know the NIC by 'nic'.  It may
 * interrupt as soon as the attach begins.  Both functions sleep and return an
 * errno value or 0: ENXIO if no driver probes the NIC, or the error of the
 * driver's attach or detach.  A failed attach leaves no bus, and a failed
 * detach leaves the bus as it was.
 *
 * The driver's attach gets no memory for the tag, map or buffer for DMA that
 * is its 'refused'th, if that is not 0.
 */
int	 kdk_pci_attach(uintptr_t nic, u_int flags, u_int refused,
	    struct kdk_pci **pcip);
int	 kdk_pci_detach(struct kdk_pci *pci);
/*
 * Frees the bus after the detach.  No thread may be in kdk_pci_interrupt().
 * Returns the number of resources that the driver did not release; they are
 * released here.
 */
u_int	 kdk_pci_free(struct kdk_pci *pci);
void	 kdk_pci_use(const struct kdk_pci *pci, struct kdk_pci_use *use);
/* Returns the name of the driver's device, such as "ix0". */
const char *kdk_pci_device(const struct kdk_pci *pci);

/*
 * Fires all pending interrupts, see kdk_vector.h.  A filter runs in the
 * calling thread, in a critical section, one call at a time.
 */
void	 kdk_pci_interrupt(struct kdk_pci *pci);
/* Returns whether the filter or handler of an interrupt has nothing to do. */
int	 kdk_pci_idle(struct kdk_pci *pci, u_int vector);
/* Returns the interrupt thread of a handler, or NULL for a filter. */
const struct thread *kdk_pci_thread(const struct kdk_pci *pci, u_int vector);
/*
 * Reads the tunables of a driver again, before an attach.  Drivers of 2014
 * read them once, when their module is loaded.
 */
void	 kdk_ixgbe_fetch_tunables(void);

/*
 * DMA of a NIC.  Both functions return 0, and copy nothing, if the address is
 * not in the machine's memory.
 */
int	 kdk_dma_read(uint64_t address, void *to, size_t length);
int	 kdk_dma_write(uint64_t address, const void *from, size_t length);

/*
 * Functions of the Rust half, which the bus and the driver call in any
 * context.  kdk_nic_take_interrupt() returns the next pending vector, or -1.
 */
uint32_t kdk_nic_read(uintptr_t nic, uint32_t reg);
void	 kdk_nic_write(uintptr_t nic, uint32_t reg, uint32_t value);
uint32_t kdk_nic_config_read(uintptr_t nic, u_int reg, u_int width);
void	 kdk_nic_config_write(uintptr_t nic, u_int reg, uint32_t value,
	    u_int width);
int	 kdk_nic_take_interrupt(uintptr_t nic);
#endif

#endif /* !_KDK_PCI_H_ */
