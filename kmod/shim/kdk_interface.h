/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A network interface, by its name in the first vnet: what ifconfig(8) sees of
 * it and does to it, and a tap, which takes what the interface has received
 * before the stack does.
 */
#ifndef _KDK_INTERFACE_H_
#define	_KDK_INTERFACE_H_

#ifdef KDK_HAVE_IXGBE
#include <net/if.h>

struct kdk_interface {
	u_int		flags;		/* IFF_* */
	u_int		link_state;	/* LINK_STATE_* */
	const char	*medium;	/* in use, as ifconfig(8) names it */
	u_int		mtu;
	uint64_t	baudrate;	/* bits per second */
	uint64_t	ipackets;
	uint64_t	ierrors;
	uint64_t	iqdrops;
	uint64_t	opackets;
	uint64_t	oerrors;
};

#ifdef KDK_PCI_IFLIB
/* What iflib(9) has counted, of which drivers may show something else. */
struct kdk_counted {
	uint64_t	ipackets;
	uint64_t	ibytes;
	uint64_t	ierrors;
};

int	 kdk_interface_iflib_counters(const char *name, struct kdk_counted *counted);
#endif

/* A frame that a tap has taken, without its bytes. */
struct kdk_tapped {
	size_t		length;		/* of the whole chain, bytes */
	size_t		header;		/* the same, as the first mbuf says */
	int		mine;		/* received by the tap's interface */
	uint32_t	flowid;
	u_int		hash_type;	/* M_HASHTYPE_* */
	u_int		csum_flags;
	int		vlan;		/* tag, or -1 */
};

struct kdk_tap;

/*
 * All of them sleep, and return an errno value or 0: ENXIO when there is no
 * such interface.
 */
int	 kdk_interface_get(const char *name, struct kdk_interface *interface);
int	 kdk_interface_set_up(const char *name, int up);
/* As ifconfig(8)'s mtu and lro; a running driver is initialised anew. */
int	 kdk_interface_set_mtu(const char *name, u_int mtu);
int	 kdk_interface_set_lro(const char *name, int on);
/* A group of IPv4's, by its last 8 bits, as a multicast program would. */
int	 kdk_interface_multicast(const char *name, uint8_t group, int join);
int	 kdk_interface_transmit(const char *name, const void *frame,
	    size_t length);

/* EBUSY when there are too many.  It has to go before its interface does. */
int	 kdk_tap_open(const char *name, struct kdk_tap **tapp);
void	 kdk_tap_close(struct kdk_tap *tap);
/*
 * The oldest frame: ENOENT when there is none, EMSGSIZE when there is less
 * room than it needs, and it stays.
 */
int	 kdk_tap_take(struct kdk_tap *tap, void *bytes, size_t room,
	    struct kdk_tapped *tapped);
/*
 * The frame that has this number, of the network's byte order, at this place
 * waits before the tap takes it, and with it the thread that has brought it:
 * kdk_tap_blocked() says who that is, or NULL.  Closing lets it go, too.
 */
void	 kdk_tap_block_on(struct kdk_tap *tap, size_t at, uint32_t value);
const struct thread *kdk_tap_blocked(struct kdk_tap *tap);
void	 kdk_tap_unblock(struct kdk_tap *tap);
/* Frames that it had no room for. */
u_int	 kdk_tap_lost(struct kdk_tap *tap);
/*
 * Frames that have come so far, and when the last one did, in ticks of the
 * CPU's counter.
 */
uint64_t kdk_tap_arrived(struct kdk_tap *tap, uint64_t *last);
/* The CPU's counter. */
uint64_t kdk_ticks(void);
#endif

#endif /* !_KDK_INTERFACE_H_ */
