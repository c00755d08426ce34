/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A PCI bus made of software, for one card: the tree's own ixgbe driver, which
 * is compiled into the module, finds it there.  Trees without that driver have
 * nothing of this, nor have their bindings, which is how build.rs finds out.
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

/* Messages that a card may have, as the 82599 has. */
#define	KDK_PCI_VECTORS	64

/* What a card or its bus does not have. */
#define	KDK_PCI_WITHOUT_MSIX	0x1	/* it has one MSI message */
#define	KDK_PCI_BOUNCED		0x2	/* it reaches the beginnings of pages */

struct kdk_pci;

/* What a driver has of its card. */
struct kdk_pci_use {
	u_int	memory;		/* regions of memory */
	u_int	interrupts;	/* interrupts */
	u_int	handlers;	/* of them with a handler */
	u_int	messages;	/* MSI-X or MSI messages allocated */
	u_int	fired;		/* interrupts with a handler, ever */
	u_int	stray;		/* without one, ever */
};

/*
 * The bus comes with its card, and the driver attaches.  The card is known to
 * the functions below by 'nic'; interrupts may come, and the bus is there for
 * them, as soon as the attach begins.  Both sleep and return an errno value or
 * 0: ENXIO when no driver wants the card, or what the attach failed with.
 * After a failed attach there is nothing, after a failed detach all is as it
 * was.
 */
int	 kdk_pci_attach(uintptr_t nic, u_int flags, struct kdk_pci **pcip);
int	 kdk_pci_detach(struct kdk_pci *pci);
/*
 * After the detach, once nobody is in kdk_pci_interrupt() any more.  Says how
 * much the driver has not given back; that was taken from it.
 */
u_int	 kdk_pci_free(struct kdk_pci *pci);
void	 kdk_pci_use(const struct kdk_pci *pci, struct kdk_pci_use *use);
/* The name of the driver's device: "ix0". */
const char *kdk_pci_device(const struct kdk_pci *pci);

/*
 * Fires all interrupts that are due, see kdk_vector.h.  A filter is called
 * where its interrupt is found due, without being preempted, and one at a
 * time.
 */
void	 kdk_pci_interrupt(struct kdk_pci *pci);
/* Whether this interrupt's filter or handler has done all that is to do. */
int	 kdk_pci_idle(struct kdk_pci *pci, u_int vector);
/* The thread that its handler runs in, or NULL for a filter. */
const struct thread *kdk_pci_thread(const struct kdk_pci *pci, u_int vector);
/*
 * A driver that looks at its tunables once, when its module is loaded, looks
 * again before a card is attached.
 */
void	 kdk_ixgbe_fetch_tunables(void);

/*
 * A card's access to the memory of the machine: 0 when there is no such memory,
 * and nothing was copied.
 */
int	 kdk_dma_read(uint64_t address, void *to, size_t length);
int	 kdk_dma_write(uint64_t address, const void *from, size_t length);

/*
 * Rust, called from the bus and the driver, anywhere.  The next interrupt that
 * is due is taken, or -1.
 */
uint32_t kdk_nic_read(uintptr_t nic, uint32_t reg);
void	 kdk_nic_write(uintptr_t nic, uint32_t reg, uint32_t value);
uint32_t kdk_nic_config_read(uintptr_t nic, u_int reg, u_int width);
void	 kdk_nic_config_write(uintptr_t nic, u_int reg, uint32_t value,
	    u_int width);
int	 kdk_nic_take_interrupt(uintptr_t nic);
#endif

#endif /* !_KDK_PCI_H_ */
